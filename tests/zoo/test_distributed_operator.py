"""The generative story of distributed operators, and what it refuses."""

import doctest
import math

import pytest
import torch
from torch.nn.functional import mse_loss

import mutoscope.zoo.distributed_operator as module
from mutoscope.guides import DistributedOperatorGuide
from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import DistributedOperator, simulate
from mutoscope.zoo.datasets import OrbitSequences, polygons
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE = (1, 6, 6)
OPERATORS = ("shift", "complex", "stacked", "disentangled")


def make(**options):
    torch.manual_seed(0)
    options = {"image_shape": SHAPE, "orders": (4,), "latent_dim": 16} | options
    return DistributedOperator(DistributedOperator.Config(**options))


def test_the_example_in_its_docstring():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_element_acts_again_and_again(operator):
    model = make(operator=operator).double()
    code, element = torch.randn(3, 16, dtype=torch.float64), torch.tensor([0, 1, 3])
    moved = model.operator(code[:, None], model.poses(element, 5))
    expected = code
    for frame in range(5):
        expected = model.operator(expected, element)
        assert torch.allclose(moved[:, frame], expected, atol=1e-12)
    assert torch.allclose(moved[:, 3], code, atol=1e-12)


def test_under_markov_dynamics_elements_act_in_turn():
    model = make(orders=(4, 3, 3), turning=True, latent_dim=36, dynamics="markov").double()
    code = torch.randn(5, 36, dtype=torch.float64)
    element = torch.randint(36, (5, 4))
    moved = model.operator(code[:, None], model.poses(element, 4))
    for frame in range(4):
        code = model.operator(code, element[:, frame])
        assert torch.allclose(moved[:, frame], code, atol=1e-12)


def test_frames_are_drawn_from_codes_that_moved():
    model = make(image_scale=1e-4, length=4)
    drawn = simulate(model, 8, seed=0)
    element = drawn["transformation"].argmax(-1)
    pose = torch.stack([element * t % 4 for t in range(4)], -1)
    codes = model.operator(drawn["code"][:, None], pose)
    assert (model.decoder(codes) - drawn["images"]).abs().max() < 1e-2


@pytest.mark.parametrize("hidden", [0, 8])
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_orbit_decoded_at_once_is_decoded_element_by_element(operator, hidden):
    model = make(operator=operator, decoder_hidden_dim=hidden).double()
    code = torch.randn(2, 3, 16, dtype=torch.float64)
    pose = torch.randint(4, (5, 2, 3, 2))  # more than there are elements, so from the orbit
    found = model.image_likelihood(code, pose).mean
    expected = torch.stack(
        [model.image_likelihood(code, each).mean for each in pose[..., :1]]  # one by one
    )
    assert torch.allclose(found[..., :2, :, :, :], expected, atol=1e-12)
    for k in range(4):
        alone = model.decoder(model.operator(code, torch.tensor(k)))
        assert torch.allclose(model.orbit(code)[:, :, k], alone, atol=1e-12)


def test_all_elements_are_equally_likely():
    drawn = simulate(make(), 2000, seed=0)["transformation"]
    assert (drawn.mean(0) - 0.25).abs().max() < 0.03


@pytest.mark.parametrize("operator", ["shift", "complex"])
def test_its_elbo_is_the_published_loss(operator):
    """Bouchacourt et al.: error of x1, and of x2 weighed by the posterior of the element."""
    model = make(operator=operator, image_scale=0.05).double()
    guide = DistributedOperatorGuide(model).double()
    torch.nn.init.constant_(guide.log_scale, -60.0)  # codes are points
    images = torch.rand(7, 2, *SHAPE, dtype=torch.float64)
    terms = Elbo(model, guide)({"images": images}, size=7)
    codes = guide.codes(images)
    weight = (model.operator.correlation(codes[:, 0], codes[:, 1]) / 0.03).softmax(-1)
    loss = mse_loss(model.decoder(codes[:, 0]), images[:, 0])
    for k in range(4):
        carried = model.decoder(model.operator(codes[:, 0], torch.tensor(k)))
        loss = loss + (weight[:, k] * (carried - images[:, 1]).square().mean((1, 2, 3))).mean()
    pixels, variance = images[0, 0].numel(), torch.tensor(0.05, dtype=torch.float64) ** 2
    divergence = (weight * (4 * weight).log()).sum(-1).mean()
    expected = pixels * loss / (2 * variance) + pixels * torch.log(2 * torch.pi * variance)
    found = terms.kl["transformation"] - terms.likelihood["images"]
    torch.testing.assert_close(found, expected + divergence, rtol=1e-5, atol=0.0)
    assert set(terms.kl) == {"code", "transformation"}


def test_with_labels_only_what_was_said_counts():
    model = make()
    guide = DistributedOperatorGuide(model)
    images, element = torch.rand(3, 2, *SHAPE), torch.tensor([0, 1, 2])
    terms = Elbo(model, guide)({"images": images, "transformation": element}, size=3)
    assert set(terms.kl) == {"code"}
    assert float(terms.likelihood["transformation"]) == pytest.approx(-math.log(4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"orders": (1,)}, "K = 1 moves nothing"),
        ({"latent_dim": 18}, "a multiple of 4, such as"),
        ({"latent_dim": 18, "operator": "stacked"}, "a multiple of 8"),
        ({"latent_dim": 20, "operator": "complex"}, "a multiple of 8, such as"),
        ({"image_scale": 0.0}, "image_scale"),
        ({"length": 1}, "length"),
        ({"stay": 1.0}, "stay"),
        ({"operator": "roll"}, "operator"),
        ({"orders": (4,), "factors": ("a", "b")}, "Name each factor"),
    ],
)
def test_options_that_do_not_fit_are_named(options, said):
    with pytest.raises(ConfigError, match=said):
        make(**options)


@pytest.mark.parametrize("element", [[0, 4], [0, -1], [0.0, 1.0], [0]])
def test_elements_outside_of_the_group_are_refused(element):
    batch = {"images": torch.rand(2, 2, *SHAPE), "transformation": torch.tensor(element)}
    with pytest.raises(DataError, match="Found"):
        make().check_data(batch)


def test_single_images_and_nan_are_refused():
    with pytest.raises(DataError, match="at least 2"):
        make().check_data({"images": torch.rand(2, 1, *SHAPE)})
    with pytest.raises(DataError, match="NaN"):
        make().check_data({"images": torch.full((2, 2, *SHAPE), torch.nan)})


def test_labels_say_what_acts_in_each_transition_under_markov_dynamics():
    model = make(dynamics="markov")
    batch = {"images": torch.rand(2, 4, *SHAPE), "transformation": torch.zeros(2, 3).long()}
    model.check_data(batch)
    with pytest.raises(DataError, match=r"of shape \(2, 3\)"):
        model.check_data(batch | {"transformation": torch.zeros(2).long()})


def test_under_markov_dynamics_elements_cannot_be_told_exactly():
    with pytest.raises(ConfigError, match="'correlation' with dynamics='markov'"):
        DistributedOperatorGuide(
            make(dynamics="markov"), DistributedOperatorGuide.Config(element="exact")
        )


def test_data_on_which_another_group_acts_are_refused():
    model = make(orders=(7,), latent_dim=14, image_shape=(1, 14, 14))
    data = OrbitSequences(polygons(6, 14), (2,), ("translation_x",))
    with pytest.raises(DataError, match=r"orders \(2,\) acts, but a model of \(7,\)"):
        fit(model, DistributedOperatorGuide(model), data, max_steps=1, progress=False)

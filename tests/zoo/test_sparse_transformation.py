"""The generative story of sparse transformation analysis, and its data drawn from the prior."""

import doctest

import pytest
import torch

import mutoscope.zoo.sparse_transformation as module
from mutoscope.guides import SparseTransformationGuide
from mutoscope.zoo import SparseTransformation, simulate
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE = (1, 6, 6)


def make(**options):
    torch.manual_seed(0)
    return SparseTransformation(SparseTransformation.Config(image_shape=SHAPE, **options))


def test_the_example_in_its_docstring():
    assert doctest.testmod(module).failed == 0


def test_simulation_repeats_with_its_seed_and_leaves_the_global_state():
    model = make(length=3)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, second = simulate(model, 2, seed=1), simulate(model, 2, seed=1)
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(first[name], second[name]) for name in model.dims)
    assert not torch.equal(first["z0"], simulate(model, 2, seed=2)["z0"])


def test_simulation_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        simulate(make(), 0, seed=0)


def test_what_does_not_move_stays():
    drawn = simulate(make(length=5), 200, seed=0)
    moves = (drawn["speed"] != 0).any(-1)
    steps = drawn["z"].diff(dim=1).abs().amax(-1)
    assert torch.equal(steps > 0, moves)
    assert torch.equal(drawn["z"][:, 0], drawn["z0"])


def test_without_rejection_spikes_keep_their_stationary_share():
    drawn = simulate(make(length=9, initial=0.5), 2000, seed=0)
    share = (drawn["speed"] != 0).float().mean((0, 2))
    assert (share - 0.5).abs().max() < 0.03


def test_with_rejection_something_always_moves():
    drawn = simulate(make(length=6, reject_zero=True), 500, seed=0)
    assert bool((drawn["speed"] != 0).any(-1).all())


def test_one_euler_step_is_the_published_update():
    model = make(method="euler", control="double", num_fields=3)
    start, speed = torch.randn(4, 16), torch.rand(4, 1, 6)
    time = torch.zeros(())
    velocity = torch.cat([model.potential(start, time), model.rotational(start, time)], -2)
    expected = start + (speed[:, 0, :, None] * velocity).sum(-2)
    assert torch.allclose(model.moved(start, speed).latent[:, 1], expected, atol=1e-5)


def test_under_single_control_both_parts_share_a_speed():
    single = make(num_fields=2)
    start, speed = torch.randn(4, 16), torch.rand(4, 3, 2)
    double = make(num_fields=2, control="double")
    both = double.moved(start, torch.cat([speed, speed], -1)).latent
    assert torch.allclose(single.moved(start, speed).latent, both, atol=1e-5)


def test_by_default_nothing_is_added_to_the_elbo():
    assert make().penalties({}, {}) == {}


def test_knowing_the_field_needs_a_model_of_one_field():
    batch = {"images": torch.rand(2, 3, *SHAPE), "field": torch.tensor([0, 1])}
    with pytest.raises(DataError, match="activity='one'"):
        make().check_data(batch)
    make(activity="one").check_data(batch)


@pytest.mark.parametrize("field", [[0, 9], [0, -1], [0.0, 1.0], [0]])
def test_fields_that_do_not_exist_are_refused(field):
    batch = {"images": torch.rand(2, 3, *SHAPE), "field": torch.tensor(field)}
    with pytest.raises(DataError, match="from 0 to 3"):
        make(activity="one").check_data(batch)


def test_time_needs_whole_sequences():
    assert make(time_dependent=True).windows is None
    assert make().windows.length == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_fields": 0}, "num_fields"),
        ({"length": 1}, "length"),
        ({"stay": 1.0}, "stay"),
        ({"slab_scale": 0.0}, "slab_scale"),
        ({"hamilton_jacobi": 1.0}, "hamilton_jacobi"),
        ({"activity": "one", "control": "double"}, "control"),
        ({"slab": "cauchy"}, "slab"),
        ({"reject_zero": True, "num_fields": 6, "control": "double"}, "num_fields"),
    ],
)
def test_options_out_of_range_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        make(**options)


def test_inferred_speeds_stay_near_the_prior_whatever_the_network_says():
    model = make()
    guide = SparseTransformationGuide(model)
    with torch.no_grad():
        guide.slab_shift.bias.fill_(1e3)
        guide.slab_width.bias.fill_(1e3)
    images = torch.rand(2, 3, *SHAPE)
    slab = guide.speed_posterior(guide.frames(images)).base_dist.slab
    assert bool((slab.loc <= 2 * model.config.slab_scale + 1e-6).all())
    assert bool((slab.scale <= model.config.slab_scale + 2e-3).all())

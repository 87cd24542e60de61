"""The posterior over an angle is that of Bayes' rule, computed all around the circle."""

import math

import pytest
import torch

from mutoscope.guides import ContinuousOperatorGuide
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import ContinuousOperator, simulate
from mutoscope.zoo.distributions import wrap_angle

FINE = 4000


def pair(scale=0.1, length=3, **options):
    torch.manual_seed(0)
    options = {"image_shape": (1, 5, 5), "highest_frequency": 3, "latent_dim": 16} | options
    model = ContinuousOperator(
        ContinuousOperator.Config(length=length, image_scale=scale, **options)
    )
    return model.double(), ContinuousOperatorGuide(model).double()


def on_a_grid(model, images, code):
    """Return the density of angles all around by Bayes' rule."""
    angle = wrap_angle((torch.arange(FINE, dtype=torch.float64) + 0.5) * (2 * math.pi / FINE))
    likelihood = model.image_likelihood(code, angle[:, None], images.shape[1])
    logits = likelihood.log_prob(images)
    return angle, (logits - logits.logsumexp(0)).exp() * FINE / (2 * math.pi)


@pytest.mark.parametrize("scale", [0.03, 0.3, 3.0])
@pytest.mark.parametrize("length", [2, 4])
def test_it_is_bayes_rule(scale, length):
    model, guide = pair(scale, length)
    model.requires_grad_(False)
    drawn = simulate(model, 40, seed=0)
    images, code = (drawn[name].double() for name in ("images", "code"))
    angle, expected = on_a_grid(model, images, code)
    found = guide.angle_posterior(images, code).log_prob(angle[:, None]).exp()
    off = 0.5 * (found - expected).abs().mean(0) * 2 * math.pi  # total variation, from 0 to 1
    assert float(off.mean()) < 0.02
    assert float(off.max()) < 0.1


def test_symmetric_images_leave_several_angles():
    model, guide = pair(0.05, 2)
    code = torch.zeros(1, 16, dtype=torch.float64)
    code[:, 12:] = 1.0  # planes of frequency 3 alone: three angles look the same
    images = model.image_likelihood(code, torch.zeros(1, dtype=torch.float64), 2).mean
    torch.manual_seed(0)
    drawn = guide.angle_posterior(images, code).sample((4000,))
    third = 2 * math.pi / 3
    share = torch.stack(
        [(wrap_angle(drawn - k * third).abs() < third / 2).double().mean() for k in range(3)]
    )
    assert share == pytest.approx([1 / 3] * 3, abs=0.05)


def test_the_bound_is_tight_where_the_code_is_known():
    model, guide = pair(0.2, 2)
    model.requires_grad_(False)
    drawn = simulate(model, 100, seed=1)
    images, code = (drawn[name].double() for name in ("images", "code"))
    law = guide.angle_posterior(images, code).expand((100, 100))
    proposals = law.proposals(law.sample())
    likelihood = model.image_likelihood(code, proposals.values, 2).log_prob(images)
    bound = proposals.combine(likelihood) - (math.log(2 * math.pi) - law.entropy())
    angle = wrap_angle(torch.arange(FINE, dtype=torch.float64) * (2 * math.pi / FINE))
    evidence = model.image_likelihood(code, angle[:, None], 2).log_prob(images)
    evidence = evidence.logsumexp(0) - math.log(FINE)
    assert float((evidence - bound).mean()) == pytest.approx(0, abs=0.02)


def test_labels_take_the_place_of_inference():
    model, guide = pair(orders=(6,))
    batch = {"images": torch.rand(4, 3, 1, 5, 5, dtype=torch.float64)}
    terms = Elbo(model, guide)(batch, size=4)
    assert terms.kl.keys() == {"code", "angle"}
    told = Elbo(model, guide)(batch | {"transformation": torch.tensor([0, 1, 2, 3])}, size=4)
    assert told.kl.keys() == {"code"}
    assert float(told.likelihood["angle"]) == pytest.approx(-math.log(2 * math.pi))

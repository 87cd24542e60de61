"""Angles known up to arcs: densities, entropies and sums against integrals over the circle."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

from mutoscope.zoo.distributions import AngleArcs, UniformAngle, wrap_angle

K = 5
FINE = 50_000


def arcs(scale=0.3, **options):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(3, 2, K, generator=generator, dtype=torch.float64)
    spread = torch.full_like(numbers[0], scale) * torch.linspace(0.5, 2, K)
    return AngleArcs(numbers[0], numbers[1].clamp(-0.6, 0.6), spread, **options)


def circle():
    """Return angles all around, evenly, with none where two arcs meet."""
    return wrap_angle((torch.arange(FINE, dtype=torch.float64) + 0.5) * (2 * math.pi / FINE))


def average(law, function):
    """Return the mean under a law by quadrature."""
    at = circle()[:, None]
    density = law.log_prob(at).exp()
    return (density * function(at)).mean(0) * 2 * math.pi


@pytest.mark.parametrize("scale", [0.05, 0.3, 30.0])
def test_the_density_integrates_to_one(scale):
    assert average(arcs(scale), torch.ones_like) == pytest.approx([1.0, 1.0], abs=1e-4)


@pytest.mark.parametrize("scale", [0.05, 0.3, 30.0])
def test_the_entropy_is_the_mean_of_minus_the_log_density(scale):
    law = arcs(scale)
    expected = average(law, lambda at: -law.log_prob(at))
    assert law.entropy() == pytest.approx(expected, abs=1e-3)
    prior = UniformAngle.like(torch.zeros((), dtype=torch.float64))
    assert kl_divergence(law, prior) == pytest.approx(math.log(2 * math.pi) - expected, abs=1e-3)


def test_nothing_is_known_of_a_flat_law():
    zero = torch.zeros(K, dtype=torch.float64)
    flat = AngleArcs(zero, zero, zero + 1e3)
    assert float(kl_divergence(flat, UniformAngle.like(zero))) == pytest.approx(0, abs=1e-6)


def test_draws_have_the_density():
    torch.manual_seed(0)
    law = arcs()
    drawn = law.sample((40_000,))
    assert bool((drawn >= -math.pi).all() and (drawn < math.pi).all())
    for moment in (torch.cos, torch.sin, lambda x: torch.cos(3 * x)):
        assert moment(drawn).mean(0) == pytest.approx(average(law, moment), abs=0.015)


def test_a_draw_from_each_arc_is_averaged_without_bias():
    torch.manual_seed(0)
    law = arcs().expand((20_000, 2))
    proposals = law.proposals(law.sample())
    found = proposals.combine(torch.sin(proposals.values)).mean(0)
    assert found == pytest.approx(average(arcs(), torch.sin), abs=5e-3)


def test_gradients_of_averages_reach_everything():
    torch.manual_seed(0)
    leaves = [x.clone().requires_grad_() for x in (arcs().logits, arcs().offset, arcs().scale)]
    exact = torch.autograd.grad(average(AngleArcs(*leaves), torch.sin).sum(), leaves)
    many = AngleArcs(*(x.expand(50_000, 2, K) for x in leaves))
    proposals = many.proposals(many.sample())
    found = proposals.combine(torch.sin(proposals.values)).mean(0).sum()
    for estimate, true in zip(torch.autograd.grad(found, leaves), exact, strict=True):
        assert torch.allclose(estimate, true, atol=0.02)


def test_angles_are_wrapped_to_the_half_open_circle():
    tiny = torch.tensor([-math.pi, math.pi, 3 * math.pi, -math.pi - 1e-7, 7.0])
    wrapped = wrap_angle(tiny)
    assert bool((wrapped >= -math.pi).all() and (wrapped < math.pi).all())
    assert torch.allclose(wrapped.cos(), tiny.cos(), atol=1e-6)

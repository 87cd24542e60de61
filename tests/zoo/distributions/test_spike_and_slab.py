"""Spike and slab: supports, densities, divergences and gradients of a frame's speeds."""

import itertools

import pytest
import torch
from pyro.distributions import Laplace, Normal
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from mutoscope.zoo.distributions import SpikeAndSlab
from mutoscope.zoo.errors import ConfigError

K = 4
CASES = [(controls, reject) for controls in (1, 2) for reject in (False, True)]


def unit_slab(shift: float = 0.0, width: float = 0.5) -> Distribution:
    zero = torch.zeros((), dtype=torch.float64)
    return Normal(zero + 1 + shift, zero + width)


def make(
    controls: int, reject_zero: bool, *batch: int, shift: float = 0.0, spread: float = 1.0
) -> SpikeAndSlab:
    logits = spread * torch.randn(*batch, K, dtype=torch.float64)
    return SpikeAndSlab(logits, unit_slab(shift), controls=controls, reject_zero=reject_zero)


def log_prob_of_spikes(law: SpikeAndSlab) -> tuple[Tensor, Tensor]:
    """Return every mask, and its log-probability: the density at speed 1 without the slab's."""
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=K)), dtype=torch.float64)
    used = masks.unflatten(-1, (law.controls, -1)).amax(-2).sum(-1)
    at_one = unit_slab().log_prob(torch.ones((), dtype=torch.float64))
    return masks, law.log_prob(masks) - used * at_one


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_probabilities_of_the_spikes_sum_to_one(controls: int, reject: bool) -> None:
    law = make(controls, reject)
    masks, log_prob = log_prob_of_spikes(law)
    assert abs(log_prob.exp().sum() - 1) <= 1e-12
    assert torch.allclose(log_prob.exp() @ masks, law.probs, atol=1e-12)
    used = masks.unflatten(-1, (controls, -1)).amax(-2)
    assert torch.allclose(log_prob.exp() @ used, law.slab_probs, atol=1e-12)


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_samples_follow_the_law(controls: int, reject: bool) -> None:
    law = make(controls, reject)
    value = law.sample(torch.Size([40000]))
    on = value != 0
    masks, log_prob = log_prob_of_spikes(law)
    probability = log_prob.exp()
    found = (on.unsqueeze(1) == masks.bool()).all(-1).double().mean(0)
    error = (probability * (1 - probability) / len(value)).sqrt()
    assert ((found - probability).abs() <= 4.5 * error + 1e-12).all()
    standard_error = value.std(0) / len(value) ** 0.5
    assert ((value.mean(0) - law.mean).abs() <= 4 * standard_error).all()
    if reject:
        assert on.any(-1).all()


def test_speeds_are_exactly_zero_where_spikes_are_off() -> None:
    law = make(1, False, 500)
    value, slab = law.rsample_parts()
    on = law.sample_spike()
    assert on.dtype == torch.bool
    assert (value == 0).any()
    assert torch.equal(value[value != 0], slab[value != 0])
    assert (slab != 0).all()


def test_controls_share_slabs() -> None:
    first, second = make(2, False, 500).sample().chunk(2, -1)
    both = (first != 0) & (second != 0)
    assert both.any()
    assert torch.equal(first[both], second[both])


def test_disagreeing_shared_slabs_are_impossible() -> None:
    law = make(2, False)
    assert law.log_prob(torch.tensor([1.0, 0, 0, 2.0]).double()).isfinite()
    assert law.log_prob(torch.tensor([1.0, 0, 2.0, 0.0]).double()) == -torch.inf


def test_zero_is_impossible_where_it_is_rejected() -> None:
    zero = torch.zeros(K).double()
    assert make(1, True).log_prob(zero) == -torch.inf
    assert make(1, False).log_prob(zero).isfinite()


@pytest.mark.parametrize("logit", [-40.0, -5.0, 0.0, 40.0])
@pytest.mark.parametrize("reject", [False, True])
def test_extreme_logits_stay_finite(logit: float, reject: bool) -> None:
    logits = torch.full((2, K), logit, requires_grad=True)
    slab = Normal(torch.tensor(1.0), torch.tensor(0.5))
    law = SpikeAndSlab(logits, slab, reject_zero=reject)
    prior = SpikeAndSlab(torch.zeros(K), slab, reject_zero=reject)
    kl_divergence(law, prior).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert law.probs.max() <= 1 + 1e-5
    assert law.sample().isfinite().all()
    assert law.log_prob(law.sample()).isfinite().all()


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_divergence_agrees_with_monte_carlo(controls: int, reject: bool) -> None:
    q, p = make(controls, reject, 3), make(controls, reject, 3, shift=0.4)
    value = q.sample(torch.Size([40000]))
    difference = q.log_prob(value) - p.log_prob(value)
    error = difference.std(0) / len(difference) ** 0.5
    assert ((difference.mean(0) - kl_divergence(q, p)).abs() <= 4 * error).all()


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_divergence_from_itself_is_zero(controls: int, reject: bool) -> None:
    law = make(controls, reject, 5)
    assert kl_divergence(law, law).abs().max() <= 1e-12
    assert (kl_divergence(law, make(controls, reject, 5)) > 0).all()


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_shapes_and_expansion(controls: int, reject: bool) -> None:
    law = make(controls, reject, 3)
    wide = law.expand(torch.Size([2, 3]))
    assert wide.batch_shape == (2, 3)
    assert wide.event_shape == (K,)
    assert wide.rsample(torch.Size([5])).shape == (5, 2, 3, K)
    assert wide.log_prob(wide.sample()).shape == (2, 3)
    assert wide.slab_probs.shape == (2, 3, K // controls)
    assert (wide.controls, wide.reject_zero) == (controls, reject)
    assert torch.equal(wide.probs[1], law.probs)


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_marginal_logits_are_those_of_the_probabilities(controls: int, reject: bool) -> None:
    law = make(controls, reject, 3).expand(torch.Size([2, 3]))
    assert law.marginal_logits.shape == (2, 3, K)
    assert torch.allclose(law.marginal_logits.sigmoid(), law.probs, atol=1e-12)


@pytest.mark.parametrize("logit", [-60.0, -40.0, 0.0, 40.0])
@pytest.mark.parametrize("num_fields", [1, 3])
def test_relaxed_gradients_of_the_rejecting_law_stay_finite(logit: float, num_fields: int) -> None:
    logits = torch.full((50, num_fields), logit, requires_grad=True)
    slab = Normal(torch.tensor(1.0), torch.tensor(0.5))
    law = SpikeAndSlab(logits, slab, reject_zero=True).expand(torch.Size([2, 50]))
    (gradient,) = torch.autograd.grad(law.rsample().sum(), logits)
    assert gradient.isfinite().all()
    assert num_fields > 1 or not gradient.any(), "the only spike is always on"


def test_slabs_may_have_axes_of_their_own() -> None:
    slab = Laplace(torch.ones(6, 1, K), torch.tensor(0.1))
    law = SpikeAndSlab(torch.zeros(5, K), slab)
    assert law.batch_shape == (6, 5)
    assert law.sample().shape == (6, 5, K)


def test_gradients_reach_the_slab_only_where_it_is_on() -> None:
    shift = torch.zeros(300, K, requires_grad=True)
    law = SpikeAndSlab(torch.zeros(300, K), Normal(1 + shift, torch.tensor(0.1)))
    value = law.rsample()
    value.sum().backward()
    assert shift.grad is not None
    assert torch.equal(shift.grad, (value != 0).float())


def test_contradictions_are_refused() -> None:
    for controls in (0, 2):
        with pytest.raises(ConfigError, match="cannot share"):
            SpikeAndSlab(
                torch.zeros(3), Normal(torch.tensor(0.0), torch.tensor(1.0)), controls=controls
            )
    with pytest.raises(ConfigError, match="leave none on"):
        SpikeAndSlab(
            torch.zeros(3),
            Normal(torch.tensor(0.0), torch.tensor(1.0)),
            reject_zero=True,
            estimator="disarm",
        )
    with pytest.raises(ConfigError, match="differ in support"):
        kl_divergence(make(1, False), make(2, False))

"""The prior of speeds over time: its law, and the divergence of a guide from it."""

import itertools
from functools import partial

import pytest
import torch
from pyro.distributions import Independent, Laplace, LogNormal, Normal
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from mutoscope.zoo.distributions import MarkovSpikeAndSlab, SpikeAndSlab
from mutoscope.zoo.errors import ConfigError

# Song et al. 2024's simulator with three fields, transitions 1 to 8.
ACTIVE_FRACTION = (0.3690, 0.4223, 0.4611, 0.4895, 0.5105, 0.5260, 0.5375, 0.5461)
T, K = 3, 4
CASES = [(controls, reject) for controls in (1, 2) for reject in (False, True)]


def slab(shift: float | Tensor = 0.0, width: float = 0.5) -> Distribution:
    location = torch.as_tensor(shift, dtype=torch.float64) + 1
    return Normal(location, torch.full_like(location, width))


def make_prior(
    controls: int = 1, reject_zero: bool = False, *, length: int = T, num_fields: int = K
) -> MarkovSpikeAndSlab:
    return MarkovSpikeAndSlab(
        slab(),
        length=length,
        num_fields=num_fields,
        initial=0.2,
        stay=0.8,
        switch_on=0.15,
        controls=controls,
        reject_zero=reject_zero,
    )


def make_guide(logits: Tensor, controls: int = 1, reject_zero: bool = False) -> Independent:
    law = SpikeAndSlab(logits, slab(0.3, 0.4), controls=controls, reject_zero=reject_zero)
    return Independent(law, 1)


def log_prob_of_spikes(law: Distribution, controls: int, masks: Tensor) -> Tensor:
    used = masks.unflatten(-1, (controls, -1)).amax(-2).sum((-1, -2))
    return law.log_prob(masks) - used * slab().log_prob(torch.ones((), dtype=torch.float64))


def every_mask(length: int, num_fields: int) -> Tensor:
    masks = itertools.product([0.0, 1.0], repeat=length * num_fields)
    return torch.tensor(list(masks), dtype=torch.float64).unflatten(-1, (length, num_fields))


def test_active_fraction_is_that_of_the_published_simulator() -> None:
    prior = MarkovSpikeAndSlab(
        Laplace(torch.tensor(1.0), torch.tensor(0.1)), length=8, num_fields=3, reject_zero=True
    )
    spike = prior.sample_spike(torch.Size([40000])).double()
    assert spike.any(-1).all()
    per_frame = spike.mean(-1)
    error = per_frame.std(0) / len(spike) ** 0.5
    assert ((per_frame.mean(0) - torch.tensor(ACTIVE_FRACTION)).abs() <= 3 * error).all()


def test_active_fraction_follows_the_chain() -> None:
    fraction = make_prior(length=6).sample_spike(torch.Size([40000])).double().mean((0, 2))
    expected = [0.2]
    for _ in range(5):
        expected.append(0.15 + expected[-1] * (0.8 - 0.15))
    assert torch.allclose(fraction, torch.tensor(expected).double(), atol=0.01)


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_probabilities_of_the_spikes_sum_to_one(controls: int, reject: bool) -> None:
    prior = make_prior(controls, reject, length=3)
    log_prob = log_prob_of_spikes(prior, controls, every_mask(3, K))
    assert abs(log_prob.exp().sum() - 1) <= 1e-10


@pytest.mark.parametrize("reject", [False, True])
def test_samples_follow_the_law(reject: bool) -> None:
    prior, masks = make_prior(1, reject, length=2, num_fields=2), every_mask(2, 2)
    probability = log_prob_of_spikes(prior, 1, masks).exp()
    value = prior.sample(torch.Size([60000]))
    found = ((value != 0).unsqueeze(1) == masks.bool()).all((-1, -2)).double().mean(0)
    error = (probability * (1 - probability) / len(value)).sqrt()
    assert ((found - probability).abs() <= 4 * error + 1e-12).all()
    on = value[value != 0]
    assert abs(on.mean() - 1) <= 4 * 0.5 / len(on) ** 0.5
    assert abs(on.std() - 0.5) <= 0.02


def test_controls_share_slabs() -> None:
    first, second = make_prior(2).sample(torch.Size([500])).chunk(2, -1)
    both = (first != 0) & (second != 0)
    assert both.any()
    assert torch.equal(first[both], second[both])


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_divergence_agrees_with_monte_carlo(controls: int, reject: bool) -> None:
    guide = make_guide(torch.randn(2, T, K).double(), controls, reject)
    prior = make_prior(controls, reject)
    value = guide.sample(torch.Size([40000]))
    difference = guide.log_prob(value) - prior.log_prob(value)
    error = difference.std(0) / len(difference) ** 0.5
    assert ((difference.mean(0) - kl_divergence(guide, prior)).abs() <= 4 * error).all()


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_divergence_of_equal_static_laws_is_zero(controls: int, reject: bool) -> None:
    probability = 0.3
    prior = MarkovSpikeAndSlab(
        slab(),
        length=T,
        num_fields=K,
        initial=probability,
        stay=probability,
        switch_on=probability,
        controls=controls,
        reject_zero=reject,
    )
    logits = torch.full((T, K), probability).double().logit()
    law = SpikeAndSlab(logits, slab(), controls=controls, reject_zero=reject)
    assert abs(kl_divergence(Independent(law, 1), prior)) <= 1e-12


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_gradient_of_the_divergence_agrees_with_finite_differences(
    controls: int, reject: bool
) -> None:
    logits, prior = torch.randn(T, K).double(), make_prior(controls, reject)

    def divergence(at: Tensor) -> Tensor:
        return kl_divergence(make_guide(at, controls, reject), prior)

    gradient = torch.autograd.functional.jacobian(divergence, logits)
    steps = 1e-5 * torch.eye(T * K).double().unflatten(-1, (T, K))
    central = torch.stack([divergence(logits + h) - divergence(logits - h) for h in steps]) / 2e-5
    central = central.unflatten(0, (T, K))
    assert (gradient.abs() > 1e-3).all()
    assert ((gradient - central).abs() <= 1e-4 * central.abs()).all()


def test_gradients_reach_the_spikes_of_both_frames() -> None:
    logits = torch.zeros(T, K).double().requires_grad_()
    kl_divergence(make_guide(logits), make_prior()).backward()
    assert logits.grad is not None
    assert logits.grad[:-1].unique().numel() > 1, "the first frame has a prior of its own"


@pytest.mark.parametrize(("controls", "reject"), CASES)
def test_shapes_and_expansion(controls: int, reject: bool) -> None:
    prior = make_prior(controls, reject)
    wide = prior.expand(torch.Size([5]))
    assert wide.batch_shape == (5,)
    assert wide.event_shape == (T, K)
    assert wide.sample().shape == (5, T, K)
    assert wide.sample(torch.Size([2])).shape == (2, 5, T, K)
    assert wide.log_prob(wide.sample()).shape == (5,)
    value = wide.sample()
    assert torch.equal(wide.log_prob(value), prior.log_prob(value))
    assert (wide.controls, wide.reject_zero) == (controls, reject)


def test_slabs_of_other_families_are_at_home() -> None:
    law = LogNormal(torch.tensor(0.0), torch.tensor(0.5))
    value = MarkovSpikeAndSlab(law, length=T, num_fields=K).sample(torch.Size([100]))
    assert (value >= 0).all()
    assert value.any()


@pytest.mark.parametrize(
    ("sizes", "pattern"),
    [
        ({"length": 0}, "length=0, but at least 1"),
        ({"num_fields": 0}, "num_fields=0, but at least 1"),
        ({"controls": 3}, "4 spikes cannot share slabs among 3 controls"),
        ({"controls": 0}, "4 spikes cannot share slabs among 0 controls"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, int], pattern: str) -> None:
    given = {"length": T, "num_fields": K, "controls": 1} | sizes
    with pytest.raises(ConfigError, match=pattern):
        MarkovSpikeAndSlab(slab(), **given)


def test_contradictions_are_refused() -> None:
    make = partial(MarkovSpikeAndSlab, slab(), length=T, num_fields=K)
    for name in ("initial", "stay", "switch_on"):
        for value in (0.0, 1.0, -0.5, float("nan")):
            with pytest.raises(ConfigError, match=f"{name}="):
                make(**{name: value})
    with pytest.raises(ConfigError, match="must agree"):
        kl_divergence(make_guide(torch.zeros(T, K).double(), reject_zero=True), make_prior())
    many = make_prior(1, True, num_fields=11)
    with pytest.raises(ConfigError, match="limit is 10 fields"):
        kl_divergence(make_guide(torch.zeros(T, 11).double(), reject_zero=True), many)

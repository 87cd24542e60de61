"""Gradient estimators of spikes against exact enumeration."""

import itertools

import pytest
import torch
from pyro.distributions import Independent, Normal
from torch import Tensor

from mutoscope.zoo.distributions import Estimator, SpikeAndSlab
from mutoscope.zoo.errors import ConfigError

T, K = 2, 3
DRAWS = 40000
LOGITS = torch.tensor([[-1.0, 0.4, 0.1], [0.8, -0.3, 1.5]], dtype=torch.float64)
WEIGHTS = torch.tensor([[1.0, -2.0, 0.7], [0.5, 1.5, -1.0]], dtype=torch.float64)


def downstream(speed: Tensor) -> Tensor:
    """Return a function of the speeds that no sum over single spikes reproduces."""
    return torch.sin((speed * WEIGHTS).sum((-1, -2))) + speed.prod(-1).sum(-1)


def law_at(logits: Tensor, estimator: Estimator, width: float = 1e-9) -> Independent:
    slab = Normal(torch.ones((), dtype=torch.float64), torch.tensor(width, dtype=torch.float64))
    law = SpikeAndSlab(logits, slab, estimator=estimator, temperature=0.3)
    return Independent(law, 1)


def exact(logits: Tensor, *, reject_zero: bool = False) -> Tensor:
    """Return the mean of `downstream` at speeds of 0 and 1, summed over all spikes."""
    masks = itertools.product([0.0, 1.0], repeat=T * K)
    speed = torch.tensor(list(masks), dtype=torch.float64).unflatten(-1, (T, K))
    probability = torch.where(speed > 0, logits.sigmoid(), (-logits).sigmoid()).prod(-1).prod(-1)
    if reject_zero:
        probability = probability * speed.any(-1).all(-1)
    return (probability / probability.sum() * downstream(speed)).sum()


def exact_gradient() -> Tensor:
    return torch.autograd.functional.jacobian(exact, LOGITS)


def estimate(estimator: Estimator, width: float = 1e-9) -> tuple[Tensor, Tensor]:
    """Return estimates of the mean and of its gradient, one for each draw."""
    logits = LOGITS.expand(DRAWS, T, K).clone().requires_grad_()
    law = law_at(logits, estimator, width)
    value = law.rsample()
    proposals = law.base_dist.proposals(value, 2)
    if proposals is None:
        result = downstream(value)
    else:
        result = proposals.combine(downstream(proposals.values))
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    return result.detach(), gradient


def errors(samples: Tensor, truth: Tensor) -> Tensor:
    """Return the distance from the truth in standard errors."""
    return (samples.mean(0) - truth).abs() / (samples.std(0) / len(samples) ** 0.5)


@pytest.mark.parametrize("estimator", ["disarm", "local_expectation"])
def test_unbiased_estimators(estimator: Estimator) -> None:
    value, gradient = estimate(estimator)
    assert errors(value, exact(LOGITS)) <= 4
    assert (errors(gradient, exact_gradient()) <= 4).all()
    assert exact_gradient().abs().min() > 1e-3


@pytest.mark.parametrize("estimator", ["straight_through", "hard_concrete"])
def test_relaxed_estimators_point_the_same_way(estimator: Estimator) -> None:
    value, gradient = estimate(estimator)
    assert errors(value, exact(LOGITS)) <= 4, "the value must not be relaxed"
    mean, truth = gradient.mean(0).flatten(), exact_gradient().flatten()
    assert torch.cosine_similarity(mean, truth, dim=0) > 0.8


@pytest.mark.parametrize("estimator", ["straight_through", "hard_concrete"])
@pytest.mark.parametrize("logits", [(-1.0, -2.0, -1.5), (0.5, -0.3, 0.8), (-3.0, -3.0, -2.0)])
@pytest.mark.parametrize("name", ["square", "linear"])
def test_relaxed_estimators_relax_the_rejecting_law(
    estimator: Estimator, logits: tuple[float, ...], name: str
) -> None:
    def function(speed: Tensor) -> Tensor:
        if name == "square":
            return (speed.sum(-1) - 0.3).square()
        return (speed * torch.tensor([1.0, 2.0, 3.0]).double()).sum(-1)

    def mean(at: Tensor) -> Tensor:
        masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=K))[1:]).double()
        return ((masks @ at).softmax(0) * function(masks)).sum()

    at = torch.tensor(logits).double()
    truth = torch.autograd.functional.jacobian(mean, at)
    wide = at.expand(DRAWS, K).clone().requires_grad_()
    slab = Normal(torch.ones(()).double(), torch.tensor(1e-9).double())
    law = SpikeAndSlab(wide, slab, reject_zero=True, estimator=estimator)
    (gradient,) = torch.autograd.grad(function(law.rsample()).sum(), wide)
    found = gradient.mean(0)
    assert torch.cosine_similarity(found, truth, dim=0) > 0.8
    assert 0.5 < found.norm() / truth.norm() < 2


@pytest.mark.parametrize("reject_zero", [False, True])
def test_frames_can_be_enumerated_one_by_one(reject_zero: bool) -> None:
    slab = Normal(torch.ones(()).double(), torch.tensor(1e-12).double())
    law = SpikeAndSlab(LOGITS, slab, reject_zero=reject_zero, estimator="enumerate")
    proposals = law.proposals(law.rsample())
    assert proposals is not None
    assert proposals.values.shape == (2**K - reject_zero, T, K)
    mean = proposals.combine(proposals.values.select(-1, 1))
    assert torch.allclose(mean, law.probs[:, 1], atol=1e-9)


@pytest.mark.parametrize("reject_zero", [False, True])
def test_enumeration_is_exact(reject_zero: bool) -> None:
    logits = LOGITS.clone().requires_grad_()
    slab = Normal(torch.ones(()).double(), torch.tensor(1e-12).double())
    law = SpikeAndSlab(logits, slab, reject_zero=reject_zero, estimator="enumerate")
    proposals = law.proposals(law.rsample(), 2)
    assert proposals is not None
    result = proposals.combine(downstream(proposals.values))
    (gradient,) = torch.autograd.grad(result, logits)
    truth = exact(LOGITS, reject_zero=reject_zero)
    true_gradient = torch.autograd.functional.jacobian(
        lambda at: exact(at, reject_zero=reject_zero), LOGITS
    )
    assert abs(result - truth) <= 1e-6
    assert (gradient - true_gradient).abs().max() <= 1e-6


@pytest.mark.parametrize("estimator", ["disarm", "local_expectation", "enumerate"])
@pytest.mark.parametrize("controls", [1, 2])
def test_proposals_keep_the_drawn_slabs(estimator: Estimator, controls: int) -> None:
    slab = Normal(torch.ones(5, T, 4 // controls), torch.tensor(0.5))
    law = SpikeAndSlab(torch.zeros(5, T, 4), slab, controls=controls, estimator=estimator)
    value = law.rsample()
    proposals = law.proposals(value, 2)
    assert proposals is not None
    assert proposals.values.shape[1:] == value.shape
    on = (value != 0) & (proposals.values != 0)
    assert torch.equal(proposals.values[on], value.expand_as(proposals.values)[on])
    if controls == 2:
        first, second = proposals.values.chunk(2, -1)
        both = (first != 0) & (second != 0)
        assert torch.equal(first[both], second[both])


@pytest.mark.parametrize(
    ("estimator", "count"), [("disarm", 2), ("local_expectation", 7), ("enumerate", 64)]
)
def test_number_of_proposals(estimator: Estimator, count: int) -> None:
    law = law_at(LOGITS, estimator)
    values = law.base_dist.proposals(law.rsample(), 2).values
    assert values.shape == (count, T, K)
    if estimator == "enumerate":
        assert len(values.bool().unique(dim=0)) == count


@pytest.mark.parametrize("estimator", ["disarm", "local_expectation", "enumerate"])
def test_gradients_reach_the_slab_through_proposals(estimator: Estimator) -> None:
    shift = torch.zeros(200, T, K, requires_grad=True)
    law = SpikeAndSlab(LOGITS.float(), Normal(1 + shift, torch.tensor(0.1)), estimator=estimator)
    proposals = law.proposals(law.rsample(), 2)
    assert proposals is not None
    proposals.combine(proposals.values.sum((-1, -2))).sum().backward()
    assert shift.grad is not None
    assert torch.allclose(shift.grad.mean(0), LOGITS.float().sigmoid(), atol=0.15)


def test_relaxation_is_centred_on_the_spikes() -> None:
    """The straight-through gradient of one spike at temperature 1 is known: E[s(1 - s)]."""
    logit = torch.zeros(DRAWS, 1, 1, dtype=torch.float64, requires_grad=True)
    slab = Normal(torch.ones(()).double(), torch.tensor(1e-9).double())
    law = SpikeAndSlab(logit, slab, estimator="straight_through", temperature=1.0)
    (gradient,) = torch.autograd.grad(law.rsample().sum(), logit)
    assert abs(gradient.mean() - 1 / 6) <= 4 * gradient.std() / DRAWS**0.5


def test_too_many_spikes_cannot_be_enumerated() -> None:
    law = law_at(torch.zeros(5, 3).double(), "enumerate")
    with pytest.raises(ConfigError, match="needs 2\\^15 evaluations"):
        law.base_dist.proposals(law.rsample(), 2)

"""How heads of tasks are read off their labelled points: one class for each kind of head."""

import dataclasses
from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Bool, Float, Int
from pyro.distributions import (
    Beta,
    Delta,
    Exponential,
    LogNormal,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)
from torch import Tensor, nn
from torch.distributions.transforms import PowerTransform

from ..zoo.distributions import SpikeAndSlab, outputs_of
from ..zoo.head_prices import entropy_of, vanishing_price
from ..zoo.sparse_shared_features import BIAS_SCALE, SparseSharedFeatures
from .head_solvers import Precision, normal_heads, spiky_heads
from .label_evidence import Heads, LabelEvidence
from .proximal_heads import Price, ProximalHeads

__all__ = [
    "AbstractHeads",
    "HorseshoeHeads",
    "LabelledPoints",
    "NormalHeads",
    "PointHeads",
    "SpikyHeads",
    "heads_for",
]

Fixed = tuple[float, float]

_SMALLEST = 1e-4  # of what a weight's size is taken for, where its price per size is asked for
_PACE = 30.0  # what all tasks share is learned this much faster than networks
_LEAST = 1e-8
_CONVERGED, _FOLLOWING = 10, 3
_WIDTH = 0.2  # of log-widths, at first


@dataclass(frozen=True, eq=False)
class LabelledPoints:
    """What heads are read off.

    Attributes:
        location: Mean of the features of each point.
        scale: Their standard deviations.
        labels: Of each point.
        observed: Which labels there are.
        classes: Kind of each task.
    """

    location: Float[Tensor, "task point feature"]
    scale: Float[Tensor, "task point feature"]
    labels: Float[Tensor, "task point"]
    observed: Bool[Tensor, "task point"]
    classes: Int[Tensor, " task"]


class AbstractHeads(nn.Module):
    """Draws heads of tasks, and what all tasks share.

    Args:
        model: The model whose heads it draws.
        rounds: Rounds of updates.
    """

    def __init__(self, model: SparseSharedFeatures, rounds: int) -> None:
        super().__init__()
        object.__setattr__(self, "model", model)  # whose parameters are not the guide's
        self._rounds = rounds

    @property
    def rounds(self) -> tuple[int, int]:
        """How many rounds bound the likelihood, and how many follow it.

        In training, the next step goes on from there; afterwards heads are to be right at once.
        """
        return (self._rounds, 0) if self.training else (_CONVERGED * self._rounds, _FOLLOWING)

    model: SparseSharedFeatures

    def draw_shared(self) -> None:
        """Draw what all tasks share, outside of their plate."""

    def draw(self, points: LabelledPoints) -> None:
        """Draw the heads, inside the plate of tasks."""
        raise NotImplementedError

    def posterior(self, points: LabelledPoints) -> Heads:
        """Return the posteriors of weights and biases, where these are Normals or points."""
        raise NotImplementedError

    def means(self, points: LabelledPoints) -> Float[Tensor, "task output coefficient"]:
        """Return mean weights and, as the last coefficient, biases."""
        return self.posterior(points).mean

    def used(self, points: LabelledPoints) -> Bool[Tensor, "task output"]:
        """Return which outputs each task uses."""
        return outputs_of(points.classes, self.model.config.num_outputs)

    def evidence(self, points: LabelledPoints) -> LabelEvidence:
        """Return what labels say of heads."""
        model = self.model
        return LabelEvidence(
            points.location,
            points.scale,
            points.labels,
            points.observed,
            points.classes,
            num_outputs=model.config.num_outputs,
            label_scale=model.label_scale,
            count=model.emphasis if self.training else 1 + model.zero,
        )

    def price(self, points: LabelledPoints, fixed: Fixed | None, *, shared: bool) -> Price:
        """Return what a unit of each weight costs.

        Args:
            points: What is known of the tasks.
            fixed: Prices of weights and of sharing, as in the model's configuration; None: as
                training has them now, and none in evaluation mode.
            shared: Whether to charge the use of rare features, too.
        """
        model, classes = self.model, points.classes
        known = points.location.detach(), points.labels, classes, points.observed
        if fixed is None and not self.training:
            return lambda size: model.zero
        if fixed is None:
            unit, (sparsity, sharing) = model.price(*known), (model.sparsity, model.sharing)
        else:
            unit = vanishing_price(*known, model.label_scale, model.config.num_outputs)
            sparsity, sharing = (each + model.zero for each in fixed)
        unit, usual = unit[:, None, None], model.usual_size(classes)

        def price(size: Tensor) -> Tensor:
            _, slope = entropy_of(model.sizes(size, classes) / usual)
            of_sharing = sharing * len(classes) * slope / usual.unsqueeze(-1)
            return (unit * (sparsity + of_sharing)).clamp(min=0)

        return price if shared else lambda size: unit * sparsity


class NormalHeads(AbstractHeads):
    """Normal posteriors under a Laplace or a Normal prior."""

    def posterior(self, points: LabelledPoints, fixed: Fixed | None = None) -> Heads:
        """Return the posteriors.

        Args:
            points: What is known of the tasks.
            fixed: See `price`.
        """
        price = self.price(points, fixed, shared=True)
        scale = self.model.weight_scale(points.classes)
        laplace = self.model.config.heads == "laplace"

        def precision(second: Tensor) -> Tensor:
            size = second.sqrt().clamp(min=_SMALLEST)
            prior = 1 / scale / size if laplace else 1 / scale.square()
            return prior + price(size) / size

        return _posterior(self, points, precision)

    def draw(self, points: LabelledPoints) -> None:
        """Draw weights and biases of an output together."""
        with torch.no_grad():  # the best has no slope
            heads = self.posterior(points)
        _draw(heads, self.used(points))


class HorseshoeHeads(AbstractHeads):
    """Normal posteriors under a horseshoe prior, each with a spread of its own.

    The prior of spread^2 is an inverse gamma of an inverse gamma (Makalic and Schmidt, "A simple
    sampler for the horseshoe estimator", 2016), so that 1 / spread^2 is exponential in the mean
    field posterior.
    """

    def __init__(self, model: SparseSharedFeatures, rounds: int) -> None:
        super().__init__(model, rounds)
        self.log_width = nn.Parameter(torch.zeros(2, model.config.num_features))

    def _width(self) -> LogNormal:
        location, scale = _PACE * self.log_width
        return LogNormal(location, _WIDTH * scale.exp())

    def draw_shared(self) -> None:
        """Draw how large weights of each feature are."""
        pyro.sample("width", self._width().to_event(1))

    def _narrowness(self, points: LabelledPoints) -> Float[Tensor, "task 1 feature"]:
        """Return the mean of 1 / (width^2 weight_scale^2)."""
        width = self._width()
        precision = torch.exp(2 * width.scale.square() - 2 * width.loc)
        return precision / self.model.weight_scale(points.classes).square()

    def posterior(self, points: LabelledPoints) -> Heads:
        """Return the posteriors of weights and biases."""
        narrow = self._narrowness(points)
        price = self.price(points, None, shared=False)

        def precision(second: Tensor) -> Tensor:
            size = second.sqrt().clamp(min=_SMALLEST)
            return narrow * _precision(second * narrow) + price(size) / size

        return _posterior(self, points, precision)

    def draw(self, points: LabelledPoints) -> None:
        """Draw spreads, and weights and biases of an output together."""
        used = self.used(points)
        with torch.no_grad():
            heads = self.posterior(points)
            rate = 1 / _precision(heads.second[..., :-1] * self._narrowness(points))
        power = PowerTransform(-0.5 + self.model.zero)
        spread = TransformedDistribution(Exponential(rate), [power])
        pyro.sample("spread", spread.to_event(1).mask(used).to_event(1))
        _draw(heads, used)


class SpikyHeads(AbstractHeads):
    """Spike and slab posteriors, independent for all weights."""

    def __init__(self, model: SparseSharedFeatures, rounds: int) -> None:
        super().__init__(model, rounds)
        self.log_counts = nn.Parameter(torch.zeros(2, model.config.num_features))

    def inclusion_posterior(self) -> Beta:
        """Return q(inclusion) of each feature."""
        on, off = torch.exp(_PACE * self.log_counts)
        return Beta(on, off)

    def draw_shared(self) -> None:
        """Draw how many tasks use each feature."""
        pyro.sample("inclusion", self.inclusion_posterior().to_event(1))

    def gates_and_slabs(
        self, points: LabelledPoints
    ) -> tuple[Float[Tensor, "task output coefficient"], Heads]:
        """Return the log-odds that weights are on, and what they are then; the bias always is."""
        scale = self.model.weight_scale(points.classes)
        law = self.inclusion_posterior()
        odds = torch.digamma(law.concentration1) - torch.digamma(law.concentration0)
        odds = odds - scale * self.price(points, None, shared=False)(scale)
        begin = _posterior(self, points, lambda s: 1 / (scale * s.sqrt().clamp(min=_SMALLEST)))
        slab = 1 / scale.square()
        return spiky_heads(self.evidence(points), odds, slab, BIAS_SCALE**-2, begin, *self.rounds)

    def means(self, points: LabelledPoints) -> Float[Tensor, "task output coefficient"]:
        """Return mean weights and biases."""
        gate, heads = self.gates_and_slabs(points)
        return torch.sigmoid(gate) * heads.mean

    def draw(self, points: LabelledPoints) -> None:
        """Draw weights, which may be zero, and biases."""
        used = self.used(points)
        with torch.no_grad():
            gate, heads = self.gates_and_slabs(points)
            width = heads.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        slab = Normal(heads.mean[..., :-1], width[..., :-1])
        spiky = SpikeAndSlab(gate[..., :-1], slab)
        pyro.sample("weight", spiky.mask(used).to_event(1))
        bias = Normal(heads.mean[..., -1], width[..., -1])
        pyro.sample("bias", bias.mask(used).to_event(1))


class PointHeads(AbstractHeads):
    """The best heads, by proximal steps; gradients go through the last of them.

    Args:
        model: The model whose heads it draws.
        steps: Number of steps.
        traced: Number of further steps that leave a graph.
    """

    def __init__(self, model: SparseSharedFeatures, steps: int, traced: int) -> None:
        super().__init__(model, steps)
        self.traced = traced

    def posterior(self, points: LabelledPoints, fixed: Fixed | None = None) -> Heads:
        """Return heads without any width; see `NormalHeads.posterior`.

        In evaluation mode weights have the price of the configuration, as in training.
        """
        model, classes = self.model, points.classes
        if fixed is None and not self.training:
            fixed = model.config.sparsity, 0.0  # a single task shares nothing
        counted = points.observed
        if model.config.variant == "bilevel" and self.training:
            counted = counted & ~model.counted(counted)
        seen = dataclasses.replace(points, observed=counted)
        proximal = ProximalHeads(
            points.location,
            points.labels,
            counted,
            classes,
            num_outputs=model.config.num_outputs,
            label_scale=model.label_scale.detach(),
            count=model.emphasis.detach() if self.training else 1 + model.zero,
        )
        scale = model.weight_scale(classes).detach()
        laplace = model.config.heads == "laplace"
        prior = 1 / scale if laplace else 0 * scale
        ridge = 0 * scale if laplace else 1 / scale.square()
        prices = [self._charged(seen, fixed, prior, shared=shared) for shared in (False, True)]
        weight, bias = proximal.solve(prices, ridge, self._rounds, self.traced)
        mean = torch.cat([weight, bias.unsqueeze(-1)], -1)
        return Heads(mean, torch.zeros_like(mean).unsqueeze(-1).expand(*mean.shape, mean.shape[-1]))

    def draw(self, points: LabelledPoints) -> None:
        """Draw nothing: weights and biases are points."""
        mean = self.posterior(points).mean
        pyro.sample("weight", Delta(mean[..., :-1], event_dim=2))
        pyro.sample("bias", Delta(mean[..., -1], event_dim=1))

    def _charged(
        self, points: LabelledPoints, fixed: Fixed | None, prior: Tensor, *, shared: bool
    ) -> Price:
        """Return what a unit of each weight costs, by the prior and in training."""
        price = self.price(points, fixed, shared=shared)
        return lambda size: prior + price(size)


def heads_for(
    model: SparseSharedFeatures, *, rounds: int, steps: int, traced: int
) -> AbstractHeads:
    """Return what draws the heads of a model."""
    if model.config.variant != "generative":
        return PointHeads(model, steps, traced)
    kinds = {"spike_and_slab": SpikyHeads, "horseshoe": HorseshoeHeads}
    return kinds.get(model.config.heads, NormalHeads)(model, rounds)


def _posterior(heads: AbstractHeads, points: LabelledPoints, precision: Precision) -> Heads:
    scale, config = heads.model.weight_scale(points.classes), heads.model.config
    start = scale.square().expand(len(scale), config.num_outputs, config.num_features)
    return normal_heads(heads.evidence(points), precision, BIAS_SCALE**-2, start, *heads.rounds)


def _draw(heads: Heads, used: Bool[Tensor, "task output"]) -> None:
    """Draw weights, and biases given these."""
    mean, bias = heads.mean[..., :-1], heads.mean[..., -1]
    across = heads.covariance[..., :-1, -1:]
    factor = torch.linalg.cholesky(heads.covariance[..., :-1, :-1])
    slope = torch.cholesky_solve(across, factor)
    rest = heads.covariance[..., -1, -1] - (across * slope).sum((-1, -2))
    law = MultivariateNormal(mean, scale_tril=factor)
    weight = pyro.sample("weight", law.mask(used).to_event(1))
    location = bias + ((weight - mean) * slope.squeeze(-1)).sum(-1)
    law = Normal(location, rest.clamp(min=_LEAST).sqrt())
    pyro.sample("bias", law.mask(used).to_event(1))


def _precision(square: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the mean of 1 / spread^2 for weights of that second moment, in units of the width.

    Updates of both inverse gammas in turn end at the root of a quadratic equation.
    """
    half = (square / 2).clamp(min=_LEAST)
    return (torch.sqrt(1 + 4 / half) - 1) / 2

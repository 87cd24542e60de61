"""What the labels of tasks say of their heads: a quadratic close to the log-likelihood."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..zoo.distributions import outputs_of
from ..zoo.head_prices import indicators

__all__ = ["Heads", "LabelEvidence"]

_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Heads:
    """A Normal over weights and bias of each output; the bias is the last coefficient.

    Attributes:
        mean: Of each coefficient.
        covariance: Of those of an output.
    """

    mean: Float[Tensor, "task output coefficient"]
    covariance: Float[Tensor, "task output coefficient coefficient"]

    @property
    def second(self) -> Float[Tensor, "task output coefficient"]:
        """Second moment of each coefficient."""
        return self.mean.square() + self.covariance.diagonal(dim1=-2, dim2=-1)


class LabelEvidence:
    """A quadratic in the coefficients of heads, close to the expected log-likelihood of the labels.

    It is the log-likelihood itself for labels that are numbers. For yes and no it is the bound from
    below of Jaakkola and Jordan (2000), which touches at heads that `tighten` is told. Given the
    outputs of all other classes, a class is a yes or no about an offset, the log of the sum of
    their exponentials, and has the same bound. Offsets go half of the way to those of the heads
    that are told: two classes that each make way for the other would do so twice.

    Args:
        location: Mean of the features of each point.
        scale: Their standard deviations.
        labels: Of each point.
        observed: Which labels there are.
        classes: Kind of each task.
        num_outputs: How many outputs there are.
        label_scale: Standard deviation of labels that are numbers.
        count: How many times each label counts.
    """

    def __init__(
        self,
        location: Float[Tensor, "task point feature"],
        scale: Float[Tensor, "task point feature"],
        labels: Float[Tensor, "task point"],
        observed: Bool[Tensor, "task point"],
        classes: Int[Tensor, " task"],
        *,
        num_outputs: int,
        label_scale: Float[Tensor, ""],
        count: Float[Tensor, ""],
    ) -> None:
        one = torch.ones_like(location[..., :1])
        self._design = torch.cat([location, one], -1).unsqueeze(1)
        self._variance = torch.cat([scale.square(), torch.zeros_like(one)], -1)
        used = outputs_of(classes, num_outputs)
        self._there = count * (observed.unsqueeze(1) & used.unsqueeze(-1)).to(location)
        kind = classes[:, None, None]
        self._number, self._several = kind == 0, kind >= 3
        precision = label_scale.square().reciprocal()
        self._used = used.unsqueeze(-1)
        self._target = indicators(labels, classes, num_outputs)
        self._linear = torch.where(self._number, precision * self._target, self._target - 0.5)
        self._known = torch.where(self._number, precision, 0.25)
        self._curvature = self._known.expand_as(self._there)
        rivals = (kind - 1).clamp(min=1).log().expand_as(self._there)
        self._offset = torch.where(self._several, rivals, 0.0)

    @property
    def quadratic(
        self,
    ) -> tuple[
        Float[Tensor, "task output coefficient coefficient"],
        Float[Tensor, "task output coefficient"],
    ]:
        """The matrix P and the vector h of the quadratic `h v - v P v / 2` in coefficients v."""
        curvature = self._curvature * self._there
        weighed = self._design * curvature.unsqueeze(-1)
        blurred = torch.diag_embed(curvature @ self._variance)
        linear = self._linear * self._there + curvature * self._offset
        return weighed.mT @ self._design + blurred, (linear.unsqueeze(-2) @ self._design).squeeze(
            -2
        )

    def tighten(self, heads: Heads) -> None:
        """Let the bound touch where heads are; that of classes, given the means of all others."""
        mean, spread = self._outputs(heads)
        self._make_way(mean)
        square = spread + (mean - self._offset).square()
        length = square.clamp(min=_LEAST).sqrt()
        touching = torch.tanh(length / 2) / (2 * length)
        self._curvature = torch.where(self._number, self._known, touching)

    def follow(self, heads: Heads) -> None:
        """Let the quadratic have the expected slope and curvature of the likelihood at heads.

        Bounds are more curved than the likelihood, so that their posteriors are too narrow. This is
        no bound, and for heads that are nearly the best. Means of sigmoids of Normals as in MacKay
        (1992).
        """
        mean, spread = self._outputs(heads)
        self._make_way(mean)
        flatter = torch.rsqrt(1 + torch.pi / 8 * spread)
        chance = torch.sigmoid((mean - self._offset) * flatter)
        curvature = (chance * (1 - chance) * flatter).clamp(min=_LEAST)
        linear = self._target - chance + curvature * (mean - self._offset)
        self._linear = torch.where(self._number, self._linear, linear)
        self._curvature = torch.where(self._number, self._known, curvature)

    def _make_way(self, mean: Float[Tensor, "task output point"]) -> None:
        """Move offsets of classes towards what the outputs of all others are together."""
        with torch.autocast(mean.device.type, enabled=False):
            precise = mean.to(torch.promote_types(mean.dtype, torch.float32))  # 1 - share needs it
            several = torch.where(self._used, precise, -torch.inf)
            share = several.softmax(1).clamp(max=1 - _LEAST)
            others = several.logsumexp(1, keepdim=True) + torch.log1p(-share)
        self._offset = torch.where(self._several, (self._offset + others) / 2, 0.0)

    def _outputs(self, heads: Heads) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the outputs of all points."""
        mean = (self._design @ heads.mean.unsqueeze(-1)).squeeze(-1)
        spread = ((self._design @ heads.covariance) * self._design).sum(-1)
        return mean, spread + heads.second @ self._variance.mT

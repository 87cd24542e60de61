"""What the labels of tasks say of their heads: a quadratic that bounds the log-likelihood."""

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
    """A quadratic in the coefficients of heads, below the expected log-likelihood of the labels.

    It is the log-likelihood itself for labels that are numbers. For yes and no it is the bound of
    Jaakkola and Jordan (2000), for C classes that of Bouchard (2007), which bounds each class like
    a yes and no, about a common offset. Both touch at heads that `tighten` is told.

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
        self._number, self._several, self._classes = kind == 0, kind >= 3, kind
        precision = label_scale.square().reciprocal()
        self._used = used.unsqueeze(-1)
        self._target = indicators(labels, classes, num_outputs)
        self._linear = torch.where(self._number, precision * self._target, self._target - 0.5)
        self._known = torch.where(self._number, precision, 0.25)
        self._curvature = self._known.expand_as(self._there)
        self._offset = torch.zeros_like(self._there[:, :1])

    @property
    def quadratic(
        self,
    ) -> tuple[
        Float[Tensor, "task output coefficient coefficient"],
        Float[Tensor, "task output coefficient"],
    ]:
        """The matrix P and the vector h of the bound `h v - v P v / 2` for coefficients v."""
        curvature = self._curvature * self._there
        weighed = self._design * curvature.unsqueeze(-1)
        blurred = torch.diag_embed(curvature @ self._variance)
        linear = self._linear * self._there + curvature * self._offset
        return weighed.mT @ self._design + blurred, (linear.unsqueeze(-2) @ self._design).squeeze(
            -2
        )

    def tighten(self, heads: Heads) -> None:
        """Let the bound touch where heads are."""
        mean, spread = self._outputs(heads)
        weighed = self._curvature * self._there
        total = weighed.sum(1, keepdim=True).clamp(min=_LEAST)
        half = (self._classes / 2 - 1) * (self._there[:, :1] > 0)
        offset = (half + (weighed * mean).sum(1, keepdim=True)) / total
        self._offset = torch.where(self._several, offset, 0.0)
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
        flatter = torch.rsqrt(1 + torch.pi / 8 * spread)
        flat = mean * flatter
        several = flat.masked_fill(~self._used, -torch.inf).softmax(1)
        chance = torch.where(self._several, several, torch.sigmoid(flat))
        curvature = (chance * (1 - chance) * flatter).clamp(min=_LEAST)
        linear = self._target - chance + curvature * mean
        self._offset = torch.zeros_like(self._offset)
        self._linear = torch.where(self._number, self._linear, linear)
        self._curvature = torch.where(self._number, self._known, curvature)

    def _outputs(self, heads: Heads) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the outputs of all points."""
        mean = (self._design @ heads.mean.unsqueeze(-1)).squeeze(-1)
        spread = ((self._design @ heads.covariance) * self._design).sum(-1)
        return mean, spread + heads.second @ self._variance.mT

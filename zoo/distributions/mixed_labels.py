"""Labels of several kinds in one tensor: numbers, yes or no, and classes."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.nn.functional import pad, softplus

from .shapes import Shape

__all__ = ["MixedLabels", "outputs_of"]


def outputs_of(classes: Int[Tensor, "*batch"], num_outputs: int) -> Bool[Tensor, "*batch output"]:
    """Return which outputs a task uses: the first of a regression or a binary task, C of C classes.

    Args:
        classes: 0 for regression, 2 for yes or no, C from 3 on for classes.
        num_outputs: How many outputs there are.
    """
    used = torch.where(classes >= 3, classes, 1).unsqueeze(-1)
    return torch.arange(num_outputs, device=classes.device) < used


class MixedLabels(TorchDistribution):
    """Labels of the points of a task, whose kind its number of classes tells.

    | classes | label of a point |
    |---|---|
    | 0 | Normal(outputs[0], scale) |
    | 2 | Bernoulli, with log-odds outputs[0] |
    | C >= 3 | Categorical, with logits outputs[:C] |

    Labels are numbers in all three; what is not observed counts for nothing, and is drawn all the
    same.

    Args:
        outputs: What the labels of each point depend on.
        classes: Kind of each task.
        scale: Standard deviation of labels that are numbers.
        observed: Which points have a label.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "outputs": constraints.independent(constraints.real, 2),
        "scale": constraints.positive,
    }
    support = constraints.real_vector

    def __init__(
        self,
        outputs: Float[Tensor, "*#batch point output"],
        classes: Int[Tensor, "*#batch"],
        scale: Float[Tensor, ""],
        observed: Bool[Tensor, "*#batch point"],
        *,
        validate_args: bool | None = None,
    ) -> None:
        batch = torch.broadcast_shapes(outputs.shape[:-2], classes.shape, observed.shape[:-1])
        self.outputs = outputs.expand(*batch, *outputs.shape[-2:])
        self.classes, self.observed = classes.expand(batch), observed.expand(*batch, -1)
        self.scale = scale
        super().__init__(batch, outputs.shape[-2:-1], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "MixedLabels":
        """Return the same distribution with more leading batch axes."""
        outputs = self.outputs.expand(*batch_shape, *self.outputs.shape[-2:])
        return MixedLabels(outputs, self.classes, self.scale, self.observed, validate_args=False)

    @property
    def log_probs(self) -> Float[Tensor, "*batch point output"]:
        """Log-probability of each class of tasks with three or more; of the others, nothing."""
        used = outputs_of(self.classes, self.outputs.shape[-1]).unsqueeze(-2)
        return self.outputs.masked_fill(~used, -torch.inf).log_softmax(-1)

    @property
    def probs(self) -> Float[Tensor, "*batch point class"]:
        """Probability of each class; of numbers, nothing."""
        yes, several = torch.sigmoid(self.outputs[..., 0]), self.log_probs.exp()
        two = torch.stack([1 - yes, yes], -1)
        missing = two.shape[-1] - several.shape[-1]
        two, several = pad(two, (0, max(0, -missing))), pad(several, (0, max(0, missing)))
        return self._by_kind(torch.full_like(two, torch.nan), two, several, axes=2)

    @property
    def mean(self) -> Float[Tensor, "*batch point"]:
        """Mean number, probability of yes, and mean number of the class."""
        names = torch.arange(self.outputs.shape[-1]).to(self.outputs)
        first = self.outputs[..., 0]
        return self._by_kind(first, torch.sigmoid(first), (self.log_probs.exp() * names).sum(-1))

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... point"]:
        """Draw labels of all points."""
        with torch.no_grad():
            outputs = self.outputs.expand(*sample_shape, *self.outputs.shape)
            first, uniform = outputs[..., 0], torch.rand_like(outputs)
            number = first + self.scale * torch.randn_like(first)
            binary = (uniform[..., 0] < torch.sigmoid(first)).to(first)
            gumbel = -torch.log(-torch.log(uniform.clamp(1e-7, 1 - 1e-7)))
            several = (self.log_probs + gumbel).argmax(-1).to(first)
            return self._by_kind(number, binary, several)

    def log_prob(self, value: Float[Tensor, "... point"]) -> Float[Tensor, "..."]:
        """Return the log-density of the observed labels of a task."""
        value, first = torch.broadcast_tensors(value, self.outputs[..., 0])
        error = (value - first) / self.scale
        number = -0.5 * error.square() - torch.log(self.scale * (2 * torch.pi) ** 0.5)
        binary = value * first - softplus(first)
        log_probs = self.log_probs
        index = value.long().clamp(0, log_probs.shape[-1] - 1).unsqueeze(-1)
        log_probs = log_probs.expand(*index.shape[:-1], -1)
        several = log_probs.gather(-1, index).squeeze(-1)
        log_prob = self._by_kind(number, binary, several)
        return torch.where(self.observed, log_prob, 0.0).sum(-1)

    def _by_kind(self, number: Tensor, binary: Tensor, several: Tensor, axes: int = 1) -> Tensor:
        """Choose for each task what its kind says."""
        kind = self.classes.reshape(*self.classes.shape, *[1] * axes)
        return torch.where(kind == 0, number, torch.where(kind == 2, binary, several))

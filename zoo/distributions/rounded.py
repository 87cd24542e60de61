"""Values rounded to whole multiples of a step, as the grey levels of an 8-bit image are."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions.constraints import Constraint

from .shapes import Shape

__all__ = ["Rounded", "Unrounded"]

_SLACK = 1e-3  # of a step, for what is rounded by the machine


class Rounded(TorchDistribution):
    """All mass on one value: `value` rounded to a multiple of `step`, for each event.

    Args:
        value: What is rounded.
        step: Between two values.
        event_dim: Number of axes of an event.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(
        self,
        value: Float[Tensor, "..."],
        step: float,
        event_dim: int,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.value, self.step = value, step
        split = value.ndim - event_dim
        super().__init__(value.shape[:split], value.shape[split:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Constraint:
        """Any numbers: those that are no multiples have probability zero."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "Rounded":
        """Return the same distribution with more leading batch axes."""
        shape = torch.Size(batch_shape) + self.event_shape
        return Rounded(
            self.value.expand(shape), self.step, len(self.event_shape), validate_args=False
        )

    @property
    def mean(self) -> Float[Tensor, "..."]:
        """The rounded value."""
        return (self.value / self.step).round() * self.step

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Return the rounded value."""
        with torch.no_grad():
            return self.mean.expand(torch.Size(sample_shape) + self.value.shape)

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return zero where `value` is what it is rounded to, else minus infinity."""
        return _within(self.value, value, self.step, len(self.event_shape))


class Unrounded(TorchDistribution):
    """What may have been rounded to a vector of values: uniform within half a step of each.

    PyTorch's uniform distribution gives minus infinity to one in some thousand of its own draws in
    single precision, those that the machine rounds to their bounds and beyond.

    Args:
        value: Rounded values.
        step: Between two values.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        value: Float[Tensor, "*batch feature"],
        step: float,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.value, self.step = value, step
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "Unrounded":
        """Return the same distribution with more leading batch axes."""
        shape = torch.Size(batch_shape) + self.event_shape
        return Unrounded(self.value.expand(shape), self.step, validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "*batch feature"]:
        """The rounded values."""
        return self.value

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw values."""
        like = self.value.expand(torch.Size(sample_shape) + self.value.shape)
        return like + self.step * (torch.rand_like(like) - 0.5)

    def log_prob(self, value: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch"]:
        """Return the log-density."""
        inside = _within(self.value, value, self.step, 1)
        return inside - self.value.shape[-1] * math.log(self.step)


def _within(centre: Tensor, value: Tensor, step: float, event_dim: int) -> Tensor:
    """Return zero where all of an event are within half a step, else minus infinity."""
    apart = (centre - value).abs() / step
    reached = (apart <= 0.5 + _SLACK).flatten(apart.ndim - event_dim).all(-1)
    return torch.where(reached, 0.0, -torch.inf).to(value)

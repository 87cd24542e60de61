"""Values rounded to whole multiples of a step, as the grey levels of an 8-bit image are."""

from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions.constraints import Constraint

from .shapes import Shape

__all__ = ["Rounded"]

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
        apart = (self.value - value).abs() / self.step
        reached = (apart <= 0.5 + _SLACK).flatten(apart.ndim - len(self.event_shape)).all(-1)
        return torch.where(reached, 0.0, -torch.inf).to(value)

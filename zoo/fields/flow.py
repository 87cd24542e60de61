"""What every family of vector fields offers to transport, and the sum of several families."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import ConfigError

__all__ = ["AbstractField", "AbstractFlow", "StackedFlow", "SummedFlow", "require_positive"]


def require_positive(**sizes: int) -> None:
    """Raise `ConfigError` unless every size is at least one."""
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name}={size}, but at least 1 is needed. Give a positive number.")


class AbstractFlow(ABC):
    """K vector fields with their parameters folded, ready to be evaluated many times.

    Shapes: `latent` is `(*batch, D)`, `speed` is `(*batch, K)`, `time` a scalar in frames. Where
    points have times of their own, `time` is `(*batch, 1, 1)`.

    Attributes:
        num_fields: Number K of fields.
        latent_dim: Dimension D of the latent space; None where a flow takes any.
    """

    num_fields: int
    latent_dim: int | None = None

    @property
    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that an evaluation reads: an adjoint solver needs to know them."""

    @abstractmethod
    def each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field latent"]:
        """Return the velocity of every field, in latent units per frame at speed 1."""

    @abstractmethod
    def divergence_each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the divergence of every field."""

    @abstractmethod
    def velocity(
        self, latent: Tensor, time: Tensor, speed: Tensor
    ) -> Float[Tensor, "*batch latent"]:
        """Return the sum over fields of speed times velocity."""

    def divergence(self, latent: Tensor, time: Tensor, speed: Tensor) -> Float[Tensor, "*batch"]:
        """Return the divergence of the summed velocity."""
        return (speed * self.divergence_each(latent, time)).sum(-1)


class AbstractField(nn.Module, ABC):
    """A module that owns the parameters of K vector fields on a D-dimensional latent space."""

    num_fields: int
    latent_dim: int

    @abstractmethod
    def flow(self) -> AbstractFlow:
        """Fold the parameters once and return the fields, ready for transport."""

    def forward(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field latent"]:
        """Return the velocity `(*batch, K, D)` of every field at `latent` `(*batch, D)`."""
        return self.flow().each(latent, time)


class StackedFlow(AbstractFlow):
    """Several flows side by side: their fields are numbered one after the other."""

    def __init__(self, flows: Sequence[AbstractFlow]) -> None:
        self.flows = tuple(flows)
        self.num_fields = sum(flow.num_fields for flow in self.flows)
        dims = (flow.latent_dim for flow in self.flows)
        self.latent_dim = next((dim for dim in dims if dim is not None), None)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that an evaluation of any of the flows reads."""
        return tuple(tensor for flow in self.flows for tensor in flow.tensors)

    def each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field latent"]:
        """Return the velocity of every field of every flow."""
        return torch.cat([flow.each(latent, time) for flow in self.flows], dim=-2)

    def divergence_each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the divergence of every field of every flow."""
        return torch.cat([flow.divergence_each(latent, time) for flow in self.flows], dim=-1)

    def velocity(
        self, latent: Tensor, time: Tensor, speed: Tensor
    ) -> Float[Tensor, "*batch latent"]:
        """Return the sum over all fields of speed times velocity."""
        parts = speed.split([flow.num_fields for flow in self.flows], dim=-1)
        velocities = [
            flow.velocity(latent, time, part) for flow, part in zip(self.flows, parts, strict=True)
        ]
        return torch.stack(velocities).sum(0)


class SummedFlow(AbstractFlow):
    """Two flows of K fields each, added field by field."""

    def __init__(self, first: AbstractFlow, second: AbstractFlow) -> None:
        self.first, self.second = first, second
        self.num_fields = first.num_fields
        self.latent_dim = second.latent_dim if first.latent_dim is None else first.latent_dim

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that an evaluation of either flow reads."""
        return *self.first.tensors, *self.second.tensors

    def each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field latent"]:
        """Return the summed velocity of each pair of fields."""
        return self.first.each(latent, time) + self.second.each(latent, time)

    def divergence_each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the summed divergence of each pair of fields."""
        first = self.first.divergence_each(latent, time)
        return first + self.second.divergence_each(latent, time)

    def velocity(
        self, latent: Tensor, time: Tensor, speed: Tensor
    ) -> Float[Tensor, "*batch latent"]:
        """Return the sum over pairs of fields of speed times velocity."""
        first = self.first.velocity(latent, time, speed)
        return first + self.second.velocity(latent, time, speed)

"""Latents as real numbers without bounds, a vector for each datum."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from pyro.distributions import Delta, MaskedDistribution
from pyro.distributions.util import sum_rightmost
from torch import Tensor
from torch.distributions import Distribution, Independent, biject_to

from ..zoo.errors import ConfigError
from .metrics.particles import unwrapped
from .metrics.spikes import has_slab

__all__ = ["Coordinates", "as_rows", "from_rows", "is_continuous", "is_discrete", "mask_of"]


def is_continuous(law: Distribution) -> bool:
    """Return whether draws have coordinates: slabs have, points and separate values have not."""
    return has_slab(law) or not (is_discrete(law) or isinstance(unwrapped(law), Delta))


def is_discrete(law: Distribution) -> bool:
    """Return whether draws take separate values."""
    support: Any = law.support
    return bool(support.is_discrete)


def mask_of(law: Distribution) -> Bool[Tensor, "..."] | None:
    """Return which numbers of a value masks inside a law let count; None where all do.

    A law may also say itself which numbers are `observed`, as `MixedLabels` does.
    """
    if isinstance(law, Independent):
        return mask_of(law.base_dist)
    own = getattr(law, "observed", None)
    if isinstance(own, Tensor) and own.dtype == torch.bool:
        counted: Tensor = own.expand(law.batch_shape + law.event_shape)
        return counted
    if not isinstance(law, MaskedDistribution):
        return None
    shape = law.batch_shape + law.event_shape
    mask = torch.as_tensor(law._mask).expand(law.batch_shape)
    mask = mask.reshape(*law.batch_shape, *[1] * len(law.event_shape)).expand(shape)
    inner = mask_of(law.base_dist)
    return mask if inner is None else mask & inner


def as_rows(
    values: Shaped[Tensor, "*axes"], draws: int, row: int
) -> Shaped[Tensor, "particle datum number"]:
    """Return values with one axis of draws, that of the data, and one of all others.

    Args:
        values: Axes of draws, and then those of a single draw.
        draws: Number of axes of draws.
        row: Which axis of a single draw is that of the data.
    """
    moved = values.movedim(draws + row, draws)
    return moved.reshape(moved.shape[:draws].numel(), moved.shape[draws], -1)


def from_rows(
    rows: Shaped[Tensor, "particle datum number"], shape: torch.Size, draws: int, row: int
) -> Shaped[Tensor, "*axes"]:
    """Return the values that `as_rows` made rows of, given their shape."""
    moved = list(shape)
    moved.insert(draws, moved.pop(draws + row))
    return rows.reshape(moved).movedim(draws, draws + row)


class Coordinates:
    """Takes values of a latent apart into a vector for each datum, and puts them together again.

    The vector holds real numbers without bounds. That of a spike-and-slab latent holds its slabs;
    which of its spikes are on is said by a template: any value with the same spikes and shape.

    Args:
        law: A law of the latent, of the guide or of the model.
        axes: Number of axes of its values at a single draw.
        row: Which of them is that of the data.

    Raises:
        ConfigError: Values have more numbers than degrees of freedom, as matrices may.
    """

    def __init__(self, law: Distribution, axes: int, row: int) -> None:
        base: Any = unwrapped(law)
        self.sparse = has_slab(law)
        self._controls = getattr(base, "controls", 1) if self.sparse else 1
        support = base.slab.support if self.sparse else law.support
        self._transform = biject_to(support)
        if self._transform.domain.event_dim != self._transform.codomain.event_dim:
            raise ConfigError(
                f"A latent with the support {support} has no vector of coordinates. Sample a "
                "vector, and make a matrix of it by `pyro.deterministic`."
            )
        self._axes, self._row, self._events = axes, row, len(law.event_shape)

    def read(
        self, value: Tensor
    ) -> tuple[
        Float[Tensor, "particle datum coordinate"], Bool[Tensor, "particle datum coordinate"]
    ]:
        """Return the coordinates of values, and which of them the values depend on.

        A slab that no spike uses has the coordinate 0.
        """
        if self.sparse:
            used, parts = self.used(value), self._parts(value)
            slab = torch.where(parts != 0, parts, -torch.inf).amax(-2)
            slab = torch.where(used, slab, self._transform(torch.zeros_like(slab)))
            point = self._transform.inv(slab)
        else:
            point = self._transform.inv(value)
            used = torch.ones_like(point, dtype=torch.bool)
        draws = value.ndim - self._axes
        return as_rows(point, draws, self._row), as_rows(used, draws, self._row)

    def write(
        self, coordinates: Float[Tensor, "particle datum coordinate"], template: Tensor
    ) -> Tensor:
        """Return the values with these coordinates, in the shape of the template."""
        slab = self.slab(coordinates, template)
        if not self.sparse:
            return slab
        return torch.where(template != 0, torch.cat([slab] * self._controls, -1), 0.0)

    def slab(
        self, coordinates: Float[Tensor, "particle datum coordinate"], template: Tensor
    ) -> Tensor:
        """Return the slabs with these coordinates; of other latents, their values."""
        slab: Tensor = self._transform(self._shaped(coordinates, template))
        return slab

    def log_volume(
        self, coordinates: Float[Tensor, "particle datum coordinate"], template: Tensor
    ) -> Float[Tensor, "*batch"]:
        """Return log |d value / d coordinates|; slabs that no spike uses do not count."""
        point = self._shaped(coordinates, template)
        volume = self._transform.log_abs_det_jacobian(point, self._transform(point))
        if self.sparse:
            volume = torch.where(self.used(template), volume, 0.0)
        return sum_rightmost(volume, self._events - self._transform.codomain.event_dim)

    def summed(
        self, rows: Float[Tensor, "particle datum coordinate"], template: Tensor
    ) -> Float[Tensor, "*batch"]:
        """Return numbers of each coordinate, summed over the axes of one event."""
        return sum_rightmost(self._shaped(rows, template), self._events)

    def unused_log_density(
        self,
        coordinates: Float[Tensor, "particle datum coordinate"],
        template: Tensor,
        law: Distribution,
    ) -> Float[Tensor, "*batch"]:
        """Return the log-density, in coordinates, of slabs that no spike uses, under their law."""
        if not self.sparse:
            return torch.zeros(())
        base: Any = unwrapped(law)
        point = self._shaped(coordinates, template)
        slab = self._transform(point)
        density = base.slab.expand(slab.shape).log_prob(slab)
        density = density + self._transform.log_abs_det_jacobian(point, slab)
        return sum_rightmost(torch.where(self.used(template), 0.0, density), self._events)

    def used(self, template: Tensor) -> Bool[Tensor, "... slab"]:
        """Return which slabs some spike uses."""
        return (self._parts(template) != 0).any(-2)

    def _parts(self, value: Tensor) -> Tensor:
        return value.unflatten(-1, (self._controls, -1))

    def _shaped(self, coordinates: Tensor, template: Tensor) -> Tensor:
        like = self._parts(template)[..., 0, :] if self.sparse else template
        shape = self._transform.inverse_shape(like.shape)
        return from_rows(coordinates, shape, template.ndim - self._axes, self._row)

"""The latents that each datum has, put together into one vector for each datum."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from .coordinates import Coordinates, as_rows, is_continuous, is_discrete
from .metrics.particles import unwrapped
from .metrics.spikes import has_slab, spike_and_slab
from .sampler import Sampler

__all__ = ["LocalLatent", "frozen", "local_latents", "points"]


@dataclass(frozen=True, eq=False)
class LocalLatent:
    """A latent that each datum has.

    Attributes:
        axes: Number of axes of its values at a single draw.
        row: Which of them is that of the data.
        coordinates: How its values are read; None if these are discrete.
        where: Its place in the vector of the coordinates of all latents.
        logits: Its place in that of all log-odds, of spikes and discrete values.
    """

    axes: int
    row: int
    coordinates: Coordinates | None
    where: slice
    logits: slice


def local_latents(sampler: Sampler, drawn: Mapping[str, Any]) -> dict[str, LocalLatent]:
    """Return the latents of a datum, by name and in the order of the guide.

    Args:
        sampler: Tells which axes are those of the data.
        drawn: Sites of the guide.
    """
    found, coordinates, logits = {}, 0, 0
    for name, site in drawn.items():
        axes, row = len(sampler.shapes[name]), sampler.row_axis[name]
        if row is None:
            continue
        law, value = site["fn"], site["value"]
        read, numbers = None, 0
        if is_continuous(law):
            read = Coordinates(law, axes, row)
            numbers = read.read(value)[0].shape[-1]
        odds = _log_odds(law, axes) // value.shape[value.ndim - axes + row]
        where, place = slice(coordinates, coordinates + numbers), slice(logits, logits + odds)
        found[name] = LocalLatent(axes, row, read, where, place)
        coordinates, logits = where.stop, place.stop
    return found


def points(
    latents: Mapping[str, LocalLatent], drawn: Mapping[str, Any]
) -> Float[Tensor, "particle datum coordinate"]:
    """Return the coordinates of all latents; slabs that no spike uses are drawn.

    Args:
        latents: Which; those without coordinates add none.
        drawn: Sites of the guide.
    """
    found = []
    for name, latent in latents.items():
        value, law = drawn[name]["value"], drawn[name]["fn"]
        if latent.coordinates is None:
            found.append(as_rows(value, value.ndim - latent.axes, latent.row)[..., :0].float())
        else:
            value = spike_and_slab(value, law)[1] if latent.coordinates.sparse else value
            found.append(latent.coordinates.read(value)[0])
    return torch.cat(found, -1)


@contextlib.contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Let no gradient reach the parameters of modules."""
    learned = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def _log_odds(law: Distribution, axes: int) -> int:
    """Return how many log-odds all data have that say which values are taken."""
    base: Any = unwrapped(law)
    if not hasattr(base, "logits") or not (has_slab(law) or is_discrete(law)):
        return 0
    draws = len(law.batch_shape) - (axes - len(law.event_shape))
    return base.logits.shape[draws:].numel()

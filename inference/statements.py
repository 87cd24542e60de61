"""What a sample statement in a trace says of itself: its kind, law, support, shape and mask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from pyro.distributions import ExpandedDistribution, Independent, MaskedDistribution
from pyro.poutine.util import site_is_subsample
from torch.distributions import constraints

from .elbo import is_latent, is_observed

__all__ = [
    "Statement",
    "event_axes",
    "family_of",
    "is_masked_out",
    "kind_of",
    "peeled",
    "shown",
    "support_name",
    "support_of",
    "to_event",
]

Statement = Any  # in a trace of Pyro; also its distribution, or the support of that


def kind_of(site: Statement) -> str | None:
    """Return "latent", "observed" or "deterministic", or None where nobody but Pyro samples."""
    if site["type"] != "sample" or site_is_subsample(site):
        return None
    return "latent" if is_latent(site) else "observed" if is_observed(site) else "deterministic"


def is_masked_out(site: Statement) -> bool:
    """Tell whether the density counts for nothing, whatever the data.

    A mask with a value for each datum may leave nothing of one batch, and something of the next.
    """
    masks = [site["mask"], *(getattr(fn, "_mask", None) for fn in _layers(site["fn"]))]
    single = (torch.as_tensor(mask) for mask in masks if mask is not None)
    return any(mask.ndim == 0 and not bool(mask) for mask in single)


def family_of(fn: Statement) -> str:
    """Return the name of a distribution without the wrappers that add axes or masks."""
    return type(peeled(fn)).__name__


def peeled(fn: Statement) -> Statement:
    """Return a distribution without the wrappers that add axes or masks."""
    *_, innermost = _layers(fn)
    return innermost


def support_of(fn: Statement) -> Statement:
    """Return the set where elements of a distribution lie, or None where that is not known."""
    support = None
    with contextlib.suppress(NotImplementedError):
        support = fn.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def support_name(fn: Statement) -> str:
    """Return the name of the set where elements of a distribution lie, with its bounds."""
    support = support_of(fn)
    bounds = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    numbers = ", ".join(f"{bound:g}" for bound in bounds if isinstance(bound, int | float))
    return type(support).__name__.lstrip("_") + (f"({numbers})" if numbers else "")


def shown(site: Statement) -> str:
    """Return the name of a statement and the shape of its distribution, for messages."""
    shape = f"{tuple(site['fn'].batch_shape)} | {tuple(site['fn'].event_shape)}"
    return f"site {site['name']!r} of shape {shape} (batch | event)"


def to_event(fn: Statement, more: int) -> str:
    """Return the call that takes so many more batch axes into the event, for messages.

    It stands in place of the call that is there, whose axes it counts.
    """
    joined = len(fn.event_shape) - len(peeled(fn).event_shape)
    return f"`.to_event({joined + more})`"


def event_axes(shape: Sequence[int], plates: Mapping[int, int]) -> int | None:
    """Return how many last axes have to be part of the event for the others to fit their plates.

    Args:
        shape: Batch shape of a distribution that does not fit.
        plates: Length of each plate by its batch axis; an axis that is missing fits any plate.

    Returns:
        The least number from 1, or None where a plate would lose the axis that it has.
    """
    filled = _filled(shape, plates)
    for count in range(1, len(shape) + 1):
        rest = shape[:-count]
        fits = all(rest[k] in (1, plates.get(k, rest[k])) for k in range(-len(rest), 0))
        if fits and _filled(rest, plates) >= filled:
            return count
    return None


def _filled(shape: Sequence[int], plates: Mapping[int, int]) -> int:
    return sum(1 < shape[k] == plates.get(k) for k in range(-len(shape), 0))


def _layers(fn: Statement) -> Iterator[Statement]:
    yield fn
    while isinstance(fn, Independent | ExpandedDistribution | MaskedDistribution):
        fn = fn.base_dist
        yield fn

"""Points of which fewer are kept, so that two of their labels correlate."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..errors import DataError
from .labelled_points import LabelledPoints

__all__ = ["correlated"]

_NARROW, _WIDE = 1e-3, 1e2  # of the range of a label
_HALVINGS = 60
_NEAR = 0.02
_LEAST = 2  # points


def correlated(points: LabelledPoints, correlation: float, generator: Generator) -> LabelledPoints:
    """Return some of the points, such that their first two labels correlate.

    A point is kept with the probability exp(-difference^2 / (2 width^2)) of the difference of both
    labels, each scaled to [0, 1], as by Träuble et al., "On disentangled representations learned
    from correlated data", ICML 2021, arXiv:2006.07886; the width is the one that gives this
    correlation. Points without either label are left out.

    Args:
        points: The points, with at least two labels.
        correlation: Wanted, above that of the points.
        generator: Draws which are kept.

    Raises:
        DataError: There is a single label, or these points cannot correlate so.
    """
    if points.labels.shape[1] < 2:
        raise DataError("Found a single label, but two are to be correlated.")
    rows = (~points.labels[:, :2].isnan().any(1)).nonzero().flatten()
    if len(rows) < _LEAST:
        raise DataError(
            f"Found {len(rows)} points that have both {points.names[0]!r} and {points.names[1]!r}, "
            "which are to be correlated. Give more."
        )
    known = points.rows(rows)
    low, high = known.labels[:, :2].amin(0), known.labels[:, :2].amax(0)
    scaled = ((known.labels[:, :2] - low) / (high - low).clamp(min=1e-12)).double()
    narrow, wide = _NARROW, _WIDE
    for _ in range(_HALVINGS):
        width = (narrow * wide) ** 0.5
        narrow, wide = (width, wide) if _reached(scaled, width) > correlation else (narrow, width)
    if abs(_reached(scaled, width) - correlation) > _NEAR:
        least, most = _reached(scaled, _WIDE), _reached(scaled, _NARROW)
        raise DataError(
            f"Found correlation={correlation}, but that of {points.names[0]!r} and "
            f"{points.names[1]!r} goes from {least:.2f} to {most:.2f} by leaving points out."
        )
    chance = torch.rand(len(scaled), generator=generator, dtype=scaled.dtype)
    rows = (chance < _kept(scaled, width)).nonzero().flatten()
    if len(rows) < _LEAST:
        raise DataError(
            f"Found correlation={correlation}, at which {len(rows)} of {len(points)} points are "
            "left. Give more points, or ask for less."
        )
    return known.rows(rows)


def _kept(scaled: Float[Tensor, "point 2"], width: float) -> Float[Tensor, " point"]:
    """Return how probable it is that each point is kept."""
    return torch.exp(-0.5 * ((scaled[:, 0] - scaled[:, 1]) / width).square())


def _reached(scaled: Float[Tensor, "point 2"], width: float) -> float:
    """Return the expected correlation of what is kept."""
    weight = _kept(scaled, width)
    centred = scaled - (weight @ scaled) / weight.sum()
    first, second = centred.unbind(1)
    both, own, other = weight @ (first * second), weight @ first.square(), weight @ second.square()
    return float(both / (own * other).clamp(min=1e-300).sqrt())

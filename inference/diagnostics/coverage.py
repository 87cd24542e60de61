"""How often central intervals hold a truth that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from xarray import DataArray, concat

from ...zoo.errors import ConfigError, DataError
from .draws import as_draws, labelled_axes
from .uniformity import place_among

__all__ = ["Coverage", "interval_coverage"]

LEVELS = (0.5, 0.8, 0.9, 0.95)
_CONFIDENCE = 0.95  # of all confidence intervals at once


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often central credible intervals hold the truth.

    Attributes:
        share: Share of truths inside, for each `level`, the probability that intervals claim.
        lower: Lower end of the confidence interval of that share (Wilson 1927), for as many
            independent truths as these are worth. All hold at once with 95% (Šidák 1967).
        upper: Its upper end.
        width: Mean width of the intervals, in units of the variable.
    """

    share: Float[DataArray, "level ..."]
    lower: Float[DataArray, "level ..."]
    upper: Float[DataArray, "level ..."]
    width: Float[DataArray, "level ..."]

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        found = []
        for level in self.share["level"].values:
            too_narrow = self.upper.sel(level=level) < level
            too_wide = self.lower.sel(level=level) > level
            for verdict, where in (("narrow", too_narrow), ("wide", too_wide)):
                if bool(where.any()):
                    share = self.share.sel(level=level).where(where)
                    of = f" {int(where.sum())} of {where.size}" if where.ndim else ""
                    found.append(
                        f"{level:.0%} intervals of{of or ' the variable'} hold the truth in "
                        f"{float(share.mean()):.0%}: they are too {verdict}."
                    )
        return tuple(found)

    def __str__(self) -> str:
        """Return what was found, in words."""
        means = (self.share, self.lower, self.upper)
        levels = self.share["level"].values
        rows = [
            f"{level:.0%} intervals hold the truth in {s:.1%} ({low:.1%} to {high:.1%})"
            for level, s, low, high in zip(
                levels, *(x.mean(x.dims[1:]).values for x in means), strict=True
            )
        ]
        return "\n".join((*(f"{row}." for row in rows), *self.concerns))


def interval_coverage(
    draws: Shaped[DataArray | np.ndarray, "draw ..."],
    truth: Shaped[DataArray | np.ndarray, "datum ..."],
    *,
    levels: Sequence[float] = LEVELS,
    by: Sequence[str] | None = None,
    seed: int = 0,
) -> Coverage:
    """Return how often the central intervals of draws hold the truth.

    Where latents have no order of their own, match them to the truth first, by `match_fields` say.
    An interval that ends inside a point mass, as of a spike that is off, holds it with the
    probability that makes its level exact.

    Args:
        draws: First axis the draws, or axes `chain` and `draw` with names; then as the truth.
        truth: First axis the data, which are independent of each other; what lies along the other
            axes need not be, and the confidence intervals allow for that.
        levels: Probabilities that the intervals claim.
        by: Axes along which every position is told by itself; those with labels by default.
        seed: Of breaking ties.

    Raises:
        DataError: Shapes differ, there is nothing, or a number is not finite.
        ConfigError: A level is not between 0 and 1, or there is no such axis.
    """
    draws = as_draws(draws)
    truth = _like_draws(draws, truth)
    own = labelled_axes(truth) if by is None else tuple(by)
    if not set(own) <= set(truth.dims[1:]) or not all(0 < level < 1 for level in levels):
        raise ConfigError(
            f"Found by={own} and levels={tuple(levels)}, but axes out of {truth.dims[1:]} and "
            "probabilities strictly between 0 and 1 are needed."
        )
    places = place_among(draws, truth, np.random.default_rng(seed))
    over = [str(axis) for axis in truth.dims[1:] if axis not in own]
    ends = [0.5 + sign * level / 2 for sign in (-1, 1) for level in levels]
    # Such ranks, unlike NumPy's default, hold the truth as often as they claim for few draws too.
    ranked = np.quantile(draws.values, ends, axis=0, method="weibull")
    found = []
    for level, low, high in zip(levels, *np.split(ranked, 2), strict=True):
        inside = (abs(places - 0.5) <= level / 2).astype(float)
        width = truth.copy(data=high - low).mean([truth.dims[0], *over])
        each = _CONFIDENCE ** (1 / (len(levels) * width.size))
        found.append((*_wilson(inside, over, each), width))
    whole = (concat(parts, "level") for parts in zip(*found, strict=True))
    return Coverage(*(part.assign_coords(level=list(levels)) for part in whole))


def _like_draws(
    draws: Float[DataArray, "draw ..."], truth: Shaped[DataArray | np.ndarray, "*axes"]
) -> Float[DataArray, "*axes"]:
    one = draws.isel(draw=0)
    values = np.asarray(truth.transpose(*one.dims) if isinstance(truth, DataArray) else truth)
    if values.shape != one.shape or values.ndim == 0 or values.size == 0:
        raise DataError(
            f"Found draws of shape {draws.shape} and a truth of shape {values.shape}, but a first "
            "axis of draws, and then the same shape with one datum or more, is needed."
        )
    for name, array in (("draws", draws.values), ("truth", values)):
        if not np.isfinite(array).all():
            raise DataError(f"Found {name} that are NaN or infinite, but finite ones are needed.")
    return one.copy(data=values)


def _wilson(
    inside: Float[DataArray, "datum ..."], over: Sequence[str], confidence: float
) -> tuple[DataArray, DataArray, DataArray]:
    """Return the share of yeses, and its confidence interval.

    As many yeses and noes as there seem to be independent ones: their number is that which gives
    the mean the variance that it has from datum to datum, at least that of the data.
    """
    from scipy.special import ndtri

    datum, count = str(inside.dims[0]), inside.shape[0]
    most = count * int(np.prod([inside.sizes[axis] for axis in over]))
    inside = inside.mean(over)
    share, variance = inside.mean(datum), inside.var(datum) / max(1, count - 1)
    worth = (share * (1 - share) / variance.where(variance > 0, np.inf)).clip(count, most)
    square = ndtri(0.5 + confidence / 2) ** 2
    spread = np.sqrt(square * (share * (1 - share) / worth + square / (4 * worth**2)))
    lower, upper = (share + square / (2 * worth) + sign * spread for sign in (-1, 1))
    return share, lower / (1 + square / worth), upper / (1 + square / worth)

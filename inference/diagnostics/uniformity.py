"""Whether numbers between 0 and 1 are uniform: simultaneous bands of their distribution function.

Säilynoja, Bürkner, Vehtari, "Graphical test for discrete uniformity and its applications in
goodness-of-fit evaluation and multiple sample comparison", 2022, Statistics and Computing 32(32).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from xarray import DataArray

__all__ = ["bands", "distribution_function", "place", "place_among", "uniform_p_value"]

_MOST_POINTS = 100
_SIMULATED = 20_000  # uniform samples that the law of the statistic is read from


def place_among(
    draws: Float[DataArray, "draw ..."],
    truth: Float[DataArray, "*axes"],
    random: np.random.Generator,
) -> Float[DataArray, "*axes"]:
    """Return where each truth lies among its draws, see `place`."""
    below, ties = (draws < truth).sum("draw"), (draws == truth).sum("draw")
    places = place(below.values, ties.values, draws.sizes["draw"], random)
    return truth.copy(data=places)


def place(
    below: Int[np.ndarray, "*axes"],
    ties: Int[np.ndarray, "*axes"],
    draws: int,
    random: np.random.Generator,
) -> Float[np.ndarray, "*axes"]:
    """Return where truths lie among their draws, from 0 to 1; uniform if they are like these.

    The gap between two draws, and ties with the truth (spikes that are off, counts), are broken at
    random, which makes the law exactly uniform for any number of draws.

    Args:
        below: How many draws are below the truth.
        ties: How many are equal to it.
        draws: How many there are.
        random: Breaks ties.
    """
    return (below + (ties + 1) * random.random(np.shape(below))) / (draws + 1)


def distribution_function(
    places: Float[np.ndarray, "*group sample"],
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "*group point"]]:
    """Return points strictly between 0 and 1, and the share of each sample up to each of them."""
    points = _points(places.shape[-1])
    below = [(places <= point).mean(-1) for point in points]
    return points, np.stack(below, -1)


def bands(
    count: int, probability: float
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return between what a uniform sample's distribution function lies, at all points at once.

    Args:
        count: Size of the sample.
        probability: Of lying there.
    """
    null = _null_law(count)
    inside = _tails(count) >= null[int((1 - probability) * len(null))]
    return inside.argmax(0) / count, (count - inside[::-1].argmax(0)) / count


def uniform_p_value(places: Float[np.ndarray, " sample"]) -> float:
    """Return how probable it is that a uniform sample leaves the bands by as much as this one."""
    count = len(places)
    _, share = distribution_function(places)
    least = _least_tail(np.rint(share * count).astype(int), count)
    null = _null_law(count)
    return float((1 + np.searchsorted(null, least, side="right")) / (1 + len(null)))


def _points(count: int) -> Float[np.ndarray, " point"]:
    number = min(max(count, 2), _MOST_POINTS)
    return np.arange(1, number) / number


@lru_cache(maxsize=8)
def _tails(count: int) -> Float[np.ndarray, "below point"]:
    """Return the smaller tail probability of each number of the sample up to each point."""
    from scipy.special import bdtr, bdtrc

    below, points = np.arange(count + 1)[:, None], _points(count)
    return np.minimum(bdtr(below, count, points), bdtrc(below - 1, count, points))


def _least_tail(
    below: Int[np.ndarray, "*sample point"], count: int
) -> Float[np.ndarray, "*sample"]:
    return _tails(count)[below, np.arange(below.shape[-1])].min(-1)


@lru_cache(maxsize=8)
def _null_law(count: int) -> Float[np.ndarray, " simulated"]:
    """Return the least tail probability along many uniform samples, in order."""
    number = len(_points(count)) + 1
    steps = np.random.default_rng(0).multinomial(count, np.full(number, 1 / number), _SIMULATED)
    return np.sort(_least_tail(steps.cumsum(1)[:, :-1], count))

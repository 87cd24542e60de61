"""Monotone regression of the world's speed on draws of a field's speed."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import softmax

from ..zoo.config import AbstractConfig

__all__ = ["MonotoneMap"]

_MAPS = 50
_DRAWS = 16  # of each labelled speed: only their mean and variance matter to a fit
_QUARTILES = (0.25, 0.5, 0.75)
# What a map is thought to be before any label, where speeds have a mean square of one: the straight
# line through zero, the same all along the field, with a scatter of a fifth.
_OFFSET, _SLOPES, _STRETCH, _SCATTER = 0, slice(1, 5), slice(5, 9), slice(9, 12)
_PRIOR_MEAN = np.array([0.0, *[1.0] * 4, *[0.0] * 4, np.log(0.2), 0.0, 0.0])
_PRIOR_SCALE = np.array([0.3, *[0.5] * 4, *[0.1] * 4, 1.0, 0.5, 0.1])
_NUMBERS = len(_PRIOR_MEAN)
_PARTS = 8  # of the labelled sequences, each of which tests what was learned from the others
_WIDENINGS = np.linspace(-1, 3, 41)  # of log s
_SEARCH = {"ftol": 1e-6}  # far below what one draw of the map differs from the next


@dataclass(frozen=True, kw_only=True)
class MonotoneMap(AbstractConfig):
    """Draws of what takes a field's speed to the world's.

    A speed x that sets out at the place c along its field becomes

        y = f(x) exp(h(c)) + s(x, c) e,    e ~ Normal(0, 1)

    f is piecewise linear and nowhere falls. So is h, which may fall: a field need not turn the
    world by as much everywhere along it. log s is linear in |x| and |c|. Zero stays zero.

    Attributes:
        inner: Root mean square of the field's speed, the unit of x and c.
        outer: That of the world's, the unit of y; negative where y falls as x rises.
        speeds: Where f bends.
        places: Where h bends.
        speed_range: Least and greatest |x| of the labels; beyond them s stays as it is.
        place_range: Least and greatest c of the labels; beyond them h and s stay as they are.
        draws: Of each draw of the map, by how much f exceeds x where it first bends, the four
            slopes of f, those of h, log s at |x| = 1 and c = 0, and its slopes in |x| and |c|.
    """

    inner: float
    outer: float
    speeds: tuple[float, float, float]
    places: tuple[float, float, float]
    speed_range: tuple[float, float]
    place_range: tuple[float, float]
    draws: tuple[tuple[float, ...], ...]

    def check(self) -> None:
        """Refuse units of zero and draws of another length."""
        self.require(self.inner > 0, "inner", "positive")
        self.require(self.outer != 0, "outer", "other than 0")
        lengths = {len(draw) for draw in self.draws}
        self.require(lengths == {_NUMBERS}, "draws", f"one or more draws of {_NUMBERS} numbers")

    @classmethod
    def fit(
        cls,
        speed: Float[np.ndarray, "draw sequence time"],
        world: Float[np.ndarray, "sequence time"],
        moving: Bool[np.ndarray, "sequence time"],
        *,
        sign: float,
        seed: int,
    ) -> Self:
        """Learn from labelled sequences.

        A label is taken as Normal about the mean of its speed's draws, once converted, with their
        variance added to that of the scatter: what the guide doubts already does not count twice.
        Each draw of the map is the most probable one after sequences got random weights and the
        prior a random shift (weighted Bayesian bootstrap: Newton, Polson, Xu, 2021), and s widened
        by a draw from its posterior given how maps of other sequences fare with each. Sequences are
        weighed as wholes since frames of one err together.

        Args:
            speed: Draws of the field's speed, zero where it is off.
            world: The true speed.
            moving: Frames to learn from; the field is on in a draw of each, and the world moves in
                some.
            sign: -1 where the world's speed falls as the field's rises, else 1.
            seed: Of weights and shifts.
        """
        rng = np.random.default_rng(seed)
        chosen = _draws_that_are_on(speed[:, moving] != 0, rng)
        x = np.take_along_axis(speed[:, moving], chosen, 0)
        c = np.take_along_axis(_places(speed)[:, moving], chosen, 0)
        y = world[moving]
        inner, outer = (float(np.sqrt(np.mean(values**2))) for values in (x, y))
        x, c, y = x / inner, c / inner, sign * y / outer
        unfitted = cls(
            inner=inner,
            outer=sign * outer,
            speeds=tuple(np.quantile(x, _QUARTILES).tolist()),
            places=tuple(np.quantile(c, _QUARTILES).tolist()),
            speed_range=(float(np.abs(x).min()), float(np.abs(x).max())),
            place_range=(float(c.min()), float(c.max())),
            draws=(tuple(_PRIOR_MEAN.tolist()),),
        )
        draws = _draw_maps(unfitted._features(x, c), y, np.nonzero(moving)[0], rng)
        return cls(**unfitted.to_dict() | {"draws": tuple(map(tuple, draws.tolist()))})

    def convert(
        self, speed: Float[np.ndarray, "draw *sequence time"], rng: np.random.Generator
    ) -> Float[np.ndarray, "draw *sequence time"]:
        """Return draws of the world's speed; each draw goes through one draw of the map."""
        x, c = speed / self.inner, _places(speed) / self.inner
        world = np.empty_like(x)
        which = rng.permutation(len(x)) % len(self.draws)
        for index, draw in enumerate(np.array(self.draws)):
            features = self._features(x[which == index], c[which == index])
            mean, _, scatter = features.predict(draw)
            world[which == index] = self.outer * rng.normal(mean, scatter)
        return np.where(speed == 0, 0.0, world)

    def _features(self, x: Float[np.ndarray, "..."], c: Float[np.ndarray, "..."]) -> "_Features":
        size, c = np.clip(np.abs(x), *self.speed_range), np.clip(c, *self.place_range)
        scatter = np.stack([np.ones_like(x), size - 1, np.abs(c)], -1)
        return _Features(self.speeds[0], _ramps(x, self.speeds), _ramps(c, self.places), scatter)


class _Features(NamedTuple):
    """What the numbers of a map are multiplied by."""

    base: float
    slopes: Float[np.ndarray, "*speed 4"]
    stretch: Float[np.ndarray, "*speed 4"]
    scatter: Float[np.ndarray, "*speed 3"]

    def predict(self, draw: Float[np.ndarray, " number"]) -> tuple[np.ndarray, ...]:
        """Return f(x) exp(h(c)), its second factor, and s(x, c)."""
        stretch = np.exp(self.stretch @ draw[_STRETCH])
        mean = (self.base + draw[_OFFSET] + self.slopes @ draw[_SLOPES]) * stretch
        return mean, stretch, np.exp(self.scatter @ draw[_SCATTER])


def _places(speed: Float[np.ndarray, "... time"]) -> Float[np.ndarray, "... time"]:
    """Return how far along the field each transition sets out, in frames at speed one."""
    return np.cumsum(speed, -1) - speed


def _ramps(
    x: Float[np.ndarray, "*speed"], knots: tuple[float, ...]
) -> Float[np.ndarray, "*speed piece"]:
    """Return how much of each piece lies between the first knot and x; the end pieces go on."""
    low, high = (-np.inf, *knots), (*knots, np.inf)
    return np.clip(x[..., None], low, high) - (knots[0], *knots)


def _draws_that_are_on(
    on: Bool[np.ndarray, "draw frame"], rng: np.random.Generator
) -> Int[np.ndarray, "chosen frame"]:
    order = np.argsort(~on, axis=0, kind="stable")
    places = (rng.random((_DRAWS, on.shape[1])) * on.sum(0)).astype(int)
    return np.take_along_axis(order, places, 0)


def _draw_maps(
    features: _Features,
    y: Float[np.ndarray, " frame"],
    sequence: Int[np.ndarray, " frame"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "map number"]:
    zeros = np.zeros(_NUMBERS)
    best = _most_probable(features, y, np.ones(len(y)), zeros, zeros)
    held_out = _held_out(features, y, sequence, best)
    sequences, of_frame = np.unique(sequence, return_inverse=True)
    draws = np.empty((_MAPS, _NUMBERS))
    for draw in draws:
        weight = len(sequences) * rng.dirichlet(np.ones(len(sequences)))[of_frame]
        shift = rng.normal(size=_NUMBERS)
        draw[:] = _PRIOR_MEAN + _PRIOR_SCALE * _most_probable(features, y, weight, shift, best)
        draw[_SCATTER.start] += rng.choice(_WIDENINGS, p=softmax(weight @ held_out))
    return draws


def _held_out(
    features: _Features,
    y: Float[np.ndarray, " frame"],
    sequence: Int[np.ndarray, " frame"],
    start: Float[np.ndarray, " number"],
) -> Float[np.ndarray, "frame widening"]:
    """Return the log-density of each label under maps of other sequences, s widened or not."""
    found = np.empty((len(y), len(_WIDENINGS)))
    sequences = np.unique(sequence)
    for part in np.array_split(sequences, min(_PARTS, len(sequences))):
        held = np.isin(sequence, part)
        best = _most_probable(features, y, 1.0 - held, np.zeros(_NUMBERS), start)
        world, _, scatter = features.predict(_PRIOR_MEAN + _PRIOR_SCALE * best)
        scatter = np.sqrt((scatter**2).mean(0))[:, None] * np.exp(_WIDENINGS)
        variance = world.var(0, ddof=1)[:, None] + scatter**2
        error = (y - world.mean(0))[:, None]
        found[held] = -(np.log(variance) + error**2 / variance)[held] / 2
    return found


def _most_probable(
    features: _Features,
    y: Float[np.ndarray, " frame"],
    weight: Float[np.ndarray, " frame"],
    shift: Float[np.ndarray, " number"],
    start: Float[np.ndarray, " number"],
) -> Float[np.ndarray, " number"]:
    """Return the map of greatest posterior density, in scales of the prior from its mean.

    Args:
        features: Of the speeds, first axis their draws.
        y: The labels.
        weight: Of each label.
        shift: Of the prior.
        start: Where the search begins.
    """
    draws = len(features.slopes)

    def loss(scaled: Float[np.ndarray, " number"]) -> tuple[float, Float[np.ndarray, " number"]]:
        world, stretch, scatter = features.predict(_PRIOR_MEAN + _PRIOR_SCALE * scaled)
        mean = world.mean(0)
        variance = world.var(0, ddof=1) + (scatter**2).mean(0)
        error = y - mean
        by_variance = weight * (1 - error**2 / variance) / (2 * variance)
        by_world = 2 * by_variance * (world - mean) / (draws - 1)
        by_world = by_world - weight * error / variance / draws
        gradient = np.concatenate(
            [
                [(by_world * stretch).sum()],
                np.tensordot(by_world * stretch, features.slopes, 2),
                np.tensordot(by_world * world, features.stretch, 2),
                np.tensordot(2 * by_variance * scatter**2 / draws, features.scatter, 2),
            ]
        )
        away = scaled - shift
        misfit = weight @ (np.log(variance) + error**2 / variance) / 2
        return float(misfit + away @ away / 2), gradient * _PRIOR_SCALE + away

    lowest = np.full(_NUMBERS, -np.inf)
    lowest[_SLOPES] = -_PRIOR_MEAN[_SLOPES] / _PRIOR_SCALE[_SLOPES]
    bounds = np.stack([lowest, np.full(_NUMBERS, np.inf)], 1)
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options=_SEARCH).x

"""How well angles are inferred: errors, and whether intervals hold the truth, around the circle."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ...zoo.errors import DataError
from .arrays import Array, checked

__all__ = ["AngleAgreement", "angle_agreement"]

_TURN = 2 * math.pi


@dataclass(frozen=True, eq=False)
class AngleAgreement:
    """How inferred angles go with true ones, all in radians.

    Attributes:
        true: The true angles, from -pi to pi.
        error: Circular mean of each datum's draws minus the true angle, from -pi to pi.
        lower: Lower end of its interval, minus the true angle. The interval is the shortest arc
            with a share of `level` of the draws.
        upper: Upper end, likewise.
        level: Share of draws in an interval.
    """

    true: Float[np.ndarray, " sequence"]
    error: Float[np.ndarray, " sequence"]
    lower: Float[np.ndarray, " sequence"]
    upper: Float[np.ndarray, " sequence"]
    level: float

    @property
    def covered(self) -> Bool[np.ndarray, " sequence"]:
        """Which intervals hold the true angle."""
        return np.remainder(-self.lower, _TURN) <= self.upper - self.lower

    @property
    def median_error(self) -> float:
        """Median size of the error."""
        return float(np.median(np.abs(self.error)))


def angle_agreement(
    draws: Shaped[Array, "draw sequence"], true: Shaped[Array, " sequence"], *, level: float = 0.9
) -> AngleAgreement:
    """Return how draws of angles go with true angles.

    Args:
        draws: Posterior draws of each angle, in radians.
        true: The true angles, in radians.
        level: Share of draws that an interval should hold.

    Raises:
        DataError: Shapes do not fit, or the level is no share.
    """
    drawn = checked(draws, "draws", ("draw", "sequence"))
    truth = checked(true, "true", ("sequence",))
    if drawn.shape[1] != len(truth) or not 0 < level < 1:
        raise DataError(
            f"Found draws {drawn.shape}, {len(truth)} true angles and level={level}; expected "
            "(draw, sequence), one angle for each sequence, and a level between 0 and 1."
        )
    off = _wrapped(drawn - truth)
    error = np.angle(np.exp(1j * off).mean(0))
    ordered = np.sort(off, 0)
    held = max(1, math.ceil(level * len(ordered))) - 1
    around = np.concatenate([ordered, ordered + _TURN])
    widths = around[held : held + len(ordered)] - ordered
    first = widths.argmin(0)
    columns = np.arange(len(truth))
    lower = ordered[first, columns]
    return AngleAgreement(_wrapped(truth), error, lower, lower + widths[first, columns], level)


def _wrapped(angle: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.remainder(angle + math.pi, _TURN) - math.pi

"""Quantities that move during training: declared by models and guides, driven by `fit`."""

from dataclasses import dataclass

from .errors import ConfigError

__all__ = ["Schedule", "Windows"]


@dataclass(frozen=True)
class Schedule:
    """A value that stays, goes linearly from one number to another, then stays again.

    Attributes:
        start: Value up to `since`.
        end: Value from `until` on.
        until: Fraction of training at which `end` is reached.
        since: Fraction of training at which `start` is left.
    """

    start: float
    end: float
    until: float
    since: float = 0.0

    def __post_init__(self) -> None:
        """Refuse fractions out of order."""
        if not 0 <= self.since < self.until <= 1:
            raise ConfigError(
                f"Schedule(since={self.since}, until={self.until}): fractions of training are "
                "needed, 0 <= since < until <= 1."
            )

    def at(self, fraction: float) -> float:
        """Return the value when `fraction` of training is done."""
        done = (fraction - self.since) / (self.until - self.since)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, done))


@dataclass(frozen=True)
class Windows:
    """Short windows first: early training looks at a random stretch of each sequence.

    Attributes:
        axis: Name of the axis, in the model's `dims`, along which windows are cut.
        length: Length of a window; axes that are no longer stay whole.
        until: Fraction of training after which sequences are whole.
    """

    axis: str
    length: int
    until: float

"""Quantities that move during training: declared by models and guides, driven by `fit`."""

from dataclasses import dataclass

from .errors import ConfigError

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """A value that goes linearly from one number to another, then stays.

    Attributes:
        start: Value at the beginning of training.
        end: Value from `until` on.
        until: Fraction of training at which `end` is reached.
    """

    start: float
    end: float
    until: float

    def __post_init__(self) -> None:
        """Refuse a fraction outside (0, 1]."""
        if not 0 < self.until <= 1:
            raise ConfigError(f"Schedule(until={self.until}): a fraction in (0, 1] is needed.")

    def at(self, fraction: float) -> float:
        """Return the value when `fraction` of training is done."""
        return self.start + (self.end - self.start) * min(1.0, fraction / self.until)

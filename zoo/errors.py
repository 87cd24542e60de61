"""The errors that Mutoscope raises: each says what was found, what was expected and what to do."""

__all__ = [
    "ConfigError",
    "DataError",
    "Interrupted",
    "MutoscopeError",
    "RunError",
    "TrainingError",
    "TransportDiverged",
]


class MutoscopeError(Exception):
    """Base of every error of this package."""

    def __str__(self) -> str:
        """Return the sentence, without the table of shapes that Pyro appends inside a trace."""
        return super().__str__().split("\nTrace Shapes:")[0]


class ConfigError(MutoscopeError, ValueError):
    """A configuration has an unknown key or a value out of range."""


class DataError(MutoscopeError, ValueError):
    """Data have the wrong shape, type, range or file format."""


class TransportDiverged(MutoscopeError, RuntimeError):
    """Points carried along a flow field left every reasonable range."""


class TrainingError(MutoscopeError, RuntimeError):
    """Training met a loss that is not finite."""


class RunError(MutoscopeError, ValueError):
    """A folder of a run is missing, damaged, unfinished or cannot be written to."""


class Interrupted(MutoscopeError):
    """Training was stopped by a signal; what was done is saved.

    Args:
        message: The sentence.
        signal: Number of the signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal

"""Checks that read a number back from the device, and how to put them off."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["checks_deferred", "deferred_checks"]

_deferred = ContextVar("_deferred", default=False)


@contextlib.contextmanager
def deferred_checks() -> Iterator[None]:
    """Put off every check that would wait for the device.

    Inside, what fails a check becomes NaN where it lies, and with it any objective that depends on
    it. Whoever finds that objective not finite computes it once more outside, where the check
    raises its own error.

    Example:
        >>> with deferred_checks():
        ...     checks_deferred()
        True
    """
    token = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(token)


def checks_deferred() -> bool:
    """Return whether checks are put off."""
    return _deferred.get()

"""Training, posteriors and what can be read from them."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adaptation import adapt
    from .checking import check
    from .description import describe
    from .fitting import FitOptions, fit, resume
    from .posterior import summarize
    from .run import Run
    from .units import SpeedUnits, describe_speeds

__all__ = [
    "FitOptions",
    "Run",
    "SpeedUnits",
    "adapt",
    "check",
    "describe",
    "describe_speeds",
    "fit",
    "resume",
    "summarize",
]

_HOMES = {
    "FitOptions": "fitting",
    "Run": "run",
    "SpeedUnits": "units",
    "adapt": "adaptation",
    "check": "checking",
    "describe": "description",
    "describe_speeds": "units",
    "fit": "fitting",
    "resume": "fitting",
    "summarize": "posterior",
}


def __getattr__(name: str) -> object:
    """Import what trains when it is first asked for, so that posteriors are read without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

"""Mutoscope: a probabilistic-programming model zoo for learning how the world transforms."""

import importlib
from types import ModuleType

__version__ = "0.1.0.dev0"

_LAYERS = ("zoo", "guides", "inference")


def __getattr__(name: str) -> ModuleType:
    """Import a layer when it is first asked for, so that importing the package stays cheap."""
    if name in _LAYERS:
        return importlib.import_module(f"mutoscope.{name}")
    raise AttributeError(f"module 'mutoscope' has no attribute {name!r}")

"""Generative models p(x, z)."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .additive_decoder import AdditiveDecoder
    from .additive_motion import AdditiveMotion
    from .baselines import VariationalAutoencoder
    from .continuous_operator import ContinuousOperator
    from .distributed_operator import DistributedOperator
    from .entropy_ordered_flow import EntropyOrderedFlow
    from .simulation import simulate
    from .sparse_shared_features import SparseSharedFeatures
    from .sparse_transformation import SparseTransformation

__all__ = [
    "AdditiveDecoder",
    "AdditiveMotion",
    "ContinuousOperator",
    "DistributedOperator",
    "EntropyOrderedFlow",
    "SparseSharedFeatures",
    "SparseTransformation",
    "VariationalAutoencoder",
    "simulate",
]

_HOMES = {
    "EntropyOrderedFlow": "entropy_ordered_flow",
    "AdditiveDecoder": "additive_decoder",
    "AdditiveMotion": "additive_motion",
    "ContinuousOperator": "continuous_operator",
    "DistributedOperator": "distributed_operator",
    "SparseSharedFeatures": "sparse_shared_features",
    "SparseTransformation": "sparse_transformation",
    "VariationalAutoencoder": "baselines",
    "simulate": "simulation",
}


def __getattr__(name: str) -> object:
    """Import a model when it is first asked for, so that what needs no torch can do without."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

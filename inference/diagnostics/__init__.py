"""Whether a posterior can be trusted: labelled numbers, and what they mean in words.

Each diagnostic returns a frozen record of labelled arrays. Its `concerns` are sentences about what
is wrong, none if nothing is, and as a text it says in a few lines what was found. Only the
calibration of a guide and reference posteriors run a model; all others read what `posterior` has
made.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibration import Calibration, simulation_based_calibration
    from .comparison import Comparison, compare, evidence
    from .coverage import Coverage, interval_coverage
    from .distance import Distance, distance_to_reference
    from .importance import Importance, importance_sampling
    from .predictive import PredictiveCheck, predictive_check
    from .reference import reference_posterior
    from .sensitivity import Sensitivity, prior_sensitivity

__all__ = [
    "Calibration",
    "Comparison",
    "Coverage",
    "Distance",
    "Importance",
    "PredictiveCheck",
    "Sensitivity",
    "compare",
    "distance_to_reference",
    "evidence",
    "importance_sampling",
    "interval_coverage",
    "predictive_check",
    "prior_sensitivity",
    "reference_posterior",
    "simulation_based_calibration",
]

_HOMES = {
    "Calibration": "calibration",
    "Comparison": "comparison",
    "Coverage": "coverage",
    "Distance": "distance",
    "Importance": "importance",
    "PredictiveCheck": "predictive",
    "Sensitivity": "sensitivity",
    "compare": "comparison",
    "distance_to_reference": "distance",
    "evidence": "comparison",
    "importance_sampling": "importance",
    "interval_coverage": "coverage",
    "predictive_check": "predictive",
    "prior_sensitivity": "sensitivity",
    "reference_posterior": "reference",
    "simulation_based_calibration": "calibration",
}


def __getattr__(name: str) -> object:
    """Import a diagnostic when it is first asked for: two of them need torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

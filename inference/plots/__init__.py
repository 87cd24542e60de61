"""Figures of what was learned. Each function takes labelled data and returns a figure."""

from .activity import plot_activity
from .agreement import plot_agreement
from .angles import plot_angles
from .calibration import plot_calibration
from .confusion import plot_confusion
from .correlation import plot_correlation
from .coverage import plot_coverage
from .defect import plot_defect
from .few_shot import plot_few_shot
from .forest import plot_forest
from .frames import plot_frames
from .heads import plot_heads
from .importance import plot_importance
from .information import plot_information
from .khat import plot_khat
from .matching import plot_matching
from .orbit import plot_orbit
from .pairs import plot_pairs
from .parts import plot_parts
from .presence import plot_presence
from .spectrum import plot_spectrum
from .speeds import plot_speeds
from .strips import plot_strips
from .support import plot_support
from .training import plot_training
from .traversals import plot_traversals
from .use import plot_use

__all__ = [
    "plot_activity",
    "plot_agreement",
    "plot_angles",
    "plot_calibration",
    "plot_confusion",
    "plot_correlation",
    "plot_coverage",
    "plot_defect",
    "plot_few_shot",
    "plot_forest",
    "plot_frames",
    "plot_heads",
    "plot_importance",
    "plot_information",
    "plot_khat",
    "plot_matching",
    "plot_orbit",
    "plot_pairs",
    "plot_parts",
    "plot_presence",
    "plot_spectrum",
    "plot_speeds",
    "plot_strips",
    "plot_support",
    "plot_training",
    "plot_traversals",
    "plot_use",
]

"""Figures of what was learned. Each function takes labelled data and returns a figure."""

from .activity import plot_activity
from .correlation import plot_correlation
from .frames import plot_frames
from .speeds import plot_speeds
from .training import plot_training

__all__ = ["plot_activity", "plot_correlation", "plot_frames", "plot_speeds", "plot_training"]

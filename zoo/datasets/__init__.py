"""Sequences of images with what is known of how they were made, and readers of published files."""

from .digits import digits
from .images import Images
from .motion import FACTORS, Factor, Motion, Trajectories
from .spikes import sticky_spikes
from .splits import AbstractSplit
from .transformed import TransformedDigits, TransformedImages, TransformedSplit, Truth

__all__ = [
    "FACTORS",
    "AbstractSplit",
    "Factor",
    "Images",
    "Motion",
    "Trajectories",
    "TransformedDigits",
    "TransformedImages",
    "TransformedSplit",
    "Truth",
    "digits",
    "sticky_spikes",
]

"""Amortized guides q(z | x)."""

from .baselines import VariationalAutoencoderGuide
from .registry import ENTRIES, Entry, entry_of
from .sparse_transformation import SparseTransformationGuide

__all__ = [
    "ENTRIES",
    "Entry",
    "SparseTransformationGuide",
    "VariationalAutoencoderGuide",
    "entry_of",
]

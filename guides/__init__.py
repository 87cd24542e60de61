"""Amortized guides q(z | x)."""

from .additive_decoder import AdditiveDecoderGuide
from .baselines import VariationalAutoencoderGuide
from .distributed_operator import DistributedOperatorGuide
from .registry import ENTRIES, Entry, entry_of
from .sparse_transformation import SparseTransformationGuide

__all__ = [
    "ENTRIES",
    "AdditiveDecoderGuide",
    "DistributedOperatorGuide",
    "Entry",
    "SparseTransformationGuide",
    "VariationalAutoencoderGuide",
    "entry_of",
]

"""Amortized guides q(z | x)."""

from .baselines import VariationalAutoencoderGuide
from .entropy_ordered_flow import EntropyOrderedFlowGuide, FlowCoreGuide
from .registry import ENTRIES, Entry, entry_of
from .sparse_transformation import SparseTransformationGuide

__all__ = [
    "ENTRIES",
    "EntropyOrderedFlowGuide",
    "Entry",
    "FlowCoreGuide",
    "SparseTransformationGuide",
    "VariationalAutoencoderGuide",
    "entry_of",
]

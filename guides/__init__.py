"""Amortized guides q(z | x)."""

from .additive_decoder import AdditiveDecoderGuide
from .additive_motion import AdditiveMotionGuide
from .baselines import VariationalAutoencoderGuide
from .continuous_operator import ContinuousOperatorGuide
from .distributed_operator import DistributedOperatorGuide
from .entropy_ordered_flow import EntropyOrderedFlowGuide, FlowCoreGuide
from .registry import ENTRIES, Entry, entry_of
from .sparse_shared_features import SparseSharedFeaturesGuide
from .sparse_transformation import SparseTransformationGuide

__all__ = [
    "ENTRIES",
    "AdditiveDecoderGuide",
    "AdditiveMotionGuide",
    "ContinuousOperatorGuide",
    "DistributedOperatorGuide",
    "EntropyOrderedFlowGuide",
    "Entry",
    "FlowCoreGuide",
    "SparseSharedFeaturesGuide",
    "SparseTransformationGuide",
    "VariationalAutoencoderGuide",
    "entry_of",
]

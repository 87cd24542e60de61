"""Distributions that Pyro does not have: spike and slab, angles, and pixels in one go."""

from .angles import AngleArcs, UniformAngle, wrap_angle
from .correlated import correlation_factor
from .estimators import MAX_ENUMERATED_SPIKES, Estimator, Proposals
from .group_walk import GroupWalk
from .independent_spikes import IndependentSpikes
from .markov_spike_and_slab import MAX_TABULATED_FIELDS, MarkovSpikeAndSlab
from .mixed_labels import MixedLabels, outputs_of
from .one_active import OneActiveField
from .one_of import OneOf
from .pixels import PixelBernoulli, PixelNormal
from .rounded import Rounded, Unrounded
from .spike_and_slab import SpikeAndSlab
from .spike_patterns import SpikePatterns, patterns_of

__all__ = [
    "MAX_ENUMERATED_SPIKES",
    "MAX_TABULATED_FIELDS",
    "AngleArcs",
    "Estimator",
    "GroupWalk",
    "IndependentSpikes",
    "MarkovSpikeAndSlab",
    "MixedLabels",
    "OneActiveField",
    "OneOf",
    "PixelBernoulli",
    "PixelNormal",
    "Proposals",
    "Rounded",
    "SpikeAndSlab",
    "SpikePatterns",
    "UniformAngle",
    "Unrounded",
    "correlation_factor",
    "outputs_of",
    "patterns_of",
    "wrap_angle",
]

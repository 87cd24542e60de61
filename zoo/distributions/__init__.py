"""Distributions that Pyro does not have: spike and slab, and pixels in one go."""

from .estimators import Estimator, Proposals
from .markov_spike_and_slab import MarkovSpikeAndSlab
from .one_active import OneActiveField
from .pixels import PixelBernoulli, PixelNormal
from .spike_and_slab import SpikeAndSlab

__all__ = [
    "Estimator",
    "MarkovSpikeAndSlab",
    "OneActiveField",
    "PixelBernoulli",
    "PixelNormal",
    "Proposals",
    "SpikeAndSlab",
]

"""Generative models p(x, z)."""

from .baselines import VariationalAutoencoder
from .simulate import simulate
from .sparse_transformation import SparseTransformation

__all__ = ["SparseTransformation", "VariationalAutoencoder", "simulate"]

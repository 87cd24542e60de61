"""Generative models p(x, z)."""

from .sparse_transformation import SparseTransformation

__all__ = ["SparseTransformation"]

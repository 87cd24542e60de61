"""Amortized guides q(z | x)."""

from .sparse_transformation import SparseTransformationGuide

__all__ = ["SparseTransformationGuide"]

"""Representations: an invertible linear map of the latent space for each element of a group."""

from .circle import CircleOperator
from .operator import AbstractOperator
from .phase import PhaseOperator, complex_operator, disentangled_operator
from .shift import ShiftOperator
from .stacked import StackedOperator

__all__ = [
    "AbstractOperator",
    "CircleOperator",
    "PhaseOperator",
    "ShiftOperator",
    "StackedOperator",
    "complex_operator",
    "disentangled_operator",
]

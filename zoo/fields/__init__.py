"""Vector fields on latent space, K at a time, in closed form."""

from .flow import AbstractField, AbstractFlow, StackedFlow, SummedFlow
from .penalised import PenalisedField
from .potential import PotentialField
from .ridge import RidgeFlow, join_ridge_flows
from .rotational import RotationalField

__all__ = [
    "AbstractField",
    "AbstractFlow",
    "PenalisedField",
    "PotentialField",
    "RidgeFlow",
    "RotationalField",
    "StackedFlow",
    "SummedFlow",
    "join_ridge_flows",
]

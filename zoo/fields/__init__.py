"""Vector fields on latent space, K at a time, in closed form."""

from .flow import AbstractField, AbstractFlow, StackedFlow, SummedFlow
from .penalised import PenalisedField
from .potential import PotentialField
from .ridge import RidgeFlow, add_flows, join_ridge_flows
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
    "add_flows",
    "join_ridge_flows",
]

"""Normalising flows: invertible layers, and the bridge that makes Pyro distributions of them.

A layer is a module with `forward(latent)` and `inverse(data)`; each returns its value and the
log-determinant of the direction that it went, one number for each datum. That is the convention of
normflows, whose layers mix with those here.

A flow is the prior of any model, `flow.distribution(dim)` in place of a normal one, and the guide
of any model by Pyro's `AutoNormalizingFlow(model, lambda dim: FlowTransform([...]))`.
"""

from .act_norm import ActNorm
from .coupling import AffineCoupling, SplineCoupling
from .haar import Haar
from .linear import Permutation, Rotation, Units
from .principal import PrincipalSubspace
from .pyramid import Pyramid
from .transform import FlowTransform

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "FlowTransform",
    "Haar",
    "Permutation",
    "PrincipalSubspace",
    "Pyramid",
    "Rotation",
    "SplineCoupling",
    "Units",
]

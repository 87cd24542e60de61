"""Families of speeds that are on, by name: the prior and the guide share one."""

from typing import Literal

from pyro.distributions import Laplace, LogNormal, Normal
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["Slab", "make_slab"]

Slab = Literal["laplace", "lognormal", "normal", "signed"]


def make_slab(family: Slab, shift: Tensor, scale: Tensor) -> Distribution:
    """Return the element-wise law of speeds that are on.

    | family | law | for motion |
    |---|---|---|
    | `laplace` | Laplace(1 + shift, scale) | at about one speed (scale 0.1 as published) |
    | `normal` | Normal(1 + shift, scale) | at about one speed |
    | `lognormal` | LogNormal(shift, scale) | one way, at many speeds |
    | `signed` | Normal(2 * shift, 2 * scale) | both ways, at many speeds |

    Args:
        family: Its name.
        shift: Displacement from the prior's centre; 0 is the prior itself.
        scale: Width; under `signed` the prior at scale 0.5 is the standard normal.
    """
    if family == "laplace":
        return Laplace(1 + shift, scale)
    if family == "normal":
        return Normal(1 + shift, scale)
    if family == "lognormal":
        return LogNormal(shift, scale)
    return Normal(2 * shift, 2 * scale)

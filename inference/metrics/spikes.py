"""What a draw of a spike-and-slab site says of its spike and its slab."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from .particles import unwrapped

__all__ = ["has_slab", "is_sparse", "spike_and_slab"]


def is_sparse(distribution: Distribution) -> bool:
    """Return whether draws are exactly zero where nothing happens, by what a distribution says."""
    return bool(getattr(unwrapped(distribution), "sparse", False))


def has_slab(prior: Distribution) -> bool:
    """Return whether a sparse prior is a point mass at zero plus a slab, by what it offers."""
    return is_sparse(prior) and hasattr(unwrapped(prior), "slab")


def spike_and_slab(
    value: Float[Tensor, "... field"], prior: Distribution
) -> tuple[Float[Tensor, "... field"], Float[Tensor, "... field"]]:
    """Return the spikes behind speeds, and slab values that exist also where spikes are off.

    A slab that no spike uses is drawn from the prior: the likelihood never sees it, so this is its
    exact posterior given the speeds. Where several spikes share a slab, one that is off takes the
    value that another one shows.

    Args:
        value: Speeds, exactly zero where the spike is off.
        prior: The model's law of the speeds; has a `slab`, and `controls` if slabs are shared.
    """
    base: Any = unwrapped(prior)
    controls = getattr(base, "controls", 1)
    parts = value.reshape(*value.shape[:-1], controls, -1)
    on = parts != 0
    unused = base.slab.expand(parts[..., 0, :].shape).sample()
    shared = torch.where(on, parts, -torch.inf).amax(-2)
    slab = torch.where(on.any(-2), shared, unused)
    return (value != 0).to(value.dtype), torch.cat([slab] * controls, -1)

"""What a model makes of given latents: what traversals, orbits and recombinations share."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from .elbo import is_observed

__all__ = ["axes_of", "drawn_latents", "observed_mean"]


def axes_of(model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    """Return the names of the axes of the model's sites, if it tells them."""
    return getattr(model, "dims", {})


def drawn_latents(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return what the guide draws for the latents that are named in the model's `dims`."""
    sites: Any = poutine.trace(guide).get_trace(**batch).nodes
    known = axes_of(model)
    return {
        name: site["value"]
        for name, site in sites.items()
        if site["type"] == "sample" and name in known
    }


def observed_mean(
    model: nn.Module, values: Mapping[str, Tensor], batch: Mapping[str, Tensor]
) -> Tensor:
    """Return the mean of what is observed, given latents.

    Args:
        model: A Pyro model with a single observed site.
        values: Values of latent sites by name.
        batch: Observed tensors by name; only their shapes count.

    Raises:
        ConfigError: There are several observed sites, or none.
    """
    sites: Any = poutine.trace(poutine.condition(model, dict(values))).get_trace(**batch).nodes
    seen: list[Tensor] = [
        torch.as_tensor(site["fn"].mean)
        for name, site in sites.items()
        if is_observed(site) and name not in values
    ]
    if len(seen) != 1:
        raise ConfigError(
            f"Found {len(seen)} observed sites in {type(model).__name__}, but its mean is asked "
            "for, which needs exactly one."
        )
    return seen[0]

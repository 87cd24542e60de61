"""Data drawn from a model."""

from typing import Any

import pyro
import torch
from torch import Tensor, nn

from .errors import ConfigError

__all__ = ["simulate"]


def simulate(model: nn.Module, count: int, *, seed: int) -> dict[str, Tensor]:
    """Draw `count` data from a model, latents included.

    Args:
        model: A Pyro model that names its sites in `dims`.
        count: Number of data.
        seed: Of the draws; the global random state is left as it was.

    Returns:
        Every site by name, first axis the data.

    Raises:
        ConfigError: `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"count={count}, but at least 1 is needed.")
    sites: dict[str, Any] = dict(getattr(model, "dims", {}))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        trace: Any = pyro.poutine.trace(model).get_trace(size=count)
    return {name: trace.nodes[name]["value"] for name in sites}

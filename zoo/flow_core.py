"""The core of an entropy-ordered flow as a latent variable model of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyro
import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import ConfigError

if TYPE_CHECKING:
    from .ordered_latents import AbstractOrderedLatents

__all__ = ["FlowCore"]


class FlowCore(nn.Module):
    """Data as a function of a few latents, with noise around it.

    For each datum:

        z_core  ~ Normal(0, I)                          C latents, the most telling first
        x       ~ Normal(g(z_core, 0), noise)           all others at zero

    It needs no training beyond that of the flow, and C is chosen when it is made.

    Args:
        flow: The trained model.
        core: Number C of latents.
        noise: Standard deviation of what the core leaves over.

    Raises:
        ConfigError: The noise is not positive.
    """

    def __init__(self, flow: AbstractOrderedLatents, core: int, noise: float) -> None:
        super().__init__()
        if not (noise > 0 and math.isfinite(noise)):
            raise ConfigError(
                f"Found noise={noise} around a core of {core} latents. Give a positive number."
            )
        self.flow, self.core, self.noise = flow, core, noise

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        data = self.flow.dims["x"]
        return {"z_core": (data[0], "core"), "x": data}

    def forward(self, x: Float[Tensor, ...] | None = None, *, size: int | None = None) -> Tensor:
        """Run the generative story; see `EntropyOrderedFlow.forward` for the arguments."""
        count = (size or 1) if x is None else x.shape[-1 - len(self.flow.image_shape)]
        with pyro.plate("datum", size or count, subsample=torch.arange(count), dim=-1):
            code = pyro.sample("z_core", self.flow.prior(self.core))
            latent = self.flow.completed(code)
            return pyro.sample("x", self.flow.likelihood(latent, self.noise), obs=x)

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are data of the flow."""
        self.flow.check_data(batch)

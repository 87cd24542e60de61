"""Flows of a few principal directions of data, beside all others."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import ConfigError, DataError

__all__ = ["PrincipalSubspace"]


class PrincipalSubspace(nn.Module):
    """Layers for the leading principal directions of data; all others are only scaled.

    `data = mean + axes (scale * [layers(latent[:count]), latent[count:]])`, with axes at right
    angles. It starts as the principal components of the data that `initialise` is given: latents
    in their order, each with its standard deviation, if the layers start as the identity. What
    layers cost then depends on the number of directions they see, not on that of features.

    Args:
        dim: Number of features.
        count: Number of directions that layers see.
        layers: These, from latents to data.

    Raises:
        ConfigError: There are fewer directions than two, or no others.
    """

    def __init__(self, dim: int, count: int, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        if not 2 <= count < dim:
            raise ConfigError(
                f"Found {count} principal directions of {dim} features. Give 2 to {dim - 1}."
            )
        self.count = count
        self.layers = nn.ModuleList(layers)
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.mean = nn.Parameter(torch.zeros(dim))
        self.register_buffer("axes", torch.eye(dim))

    axes: Tensor

    @torch.no_grad()
    def initialise(self, data: Float[Tensor, "datum feature"]) -> None:
        """Take the principal directions of these data.

        Raises:
            DataError: There are no more data than features, or some direction has no variance.
        """
        features = data.shape[1]
        if len(data) <= features:
            raise DataError(
                f"Found {len(data)} data of {features} features, but principal directions need "
                "more data than features. Give more."
            )
        variance, axes = torch.linalg.eigh(torch.cov(data.T))
        if float(variance[0]) <= torch.finfo(data.dtype).eps * float(variance[-1]):
            raise DataError(
                "The data do not vary in some direction, which hence has no scale. Add noise, or "
                "drop features that others determine."
            )
        self.mean.copy_(data.mean(0))
        self.log_scale.copy_(variance.flip(0).log() / 2)
        self.axes.copy_(axes.flip(1))

    def forward(
        self, latent: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, "*batch"]]:
        """Return data and log-determinant."""
        value, others = latent.split([self.count, latent.shape[-1] - self.count], -1)
        total = latent.new_zeros(latent.shape[:-1]) + self.log_scale.sum()
        for layer in self.layers:
            value, log_det = layer(value)
            total = total + log_det
        scaled = torch.cat([value, others], -1) * self.log_scale.exp()
        return self.mean + scaled @ self.axes.T, total

    def inverse(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, "*batch"]]:
        """Return latents and log-determinant."""
        scaled = (data - self.mean) @ self.axes * (-self.log_scale).exp()
        value, others = scaled.split([self.count, data.shape[-1] - self.count], -1)
        total = data.new_zeros(data.shape[:-1]) - self.log_scale.sum()
        for layer in reversed(self.layers):
            value, log_det = cast(Any, layer).inverse(value)
            total = total + log_det
        return torch.cat([value, others], -1), total

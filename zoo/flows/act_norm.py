"""Scales and shifts of single features, set once from data."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import DataError

__all__ = ["ActNorm"]


class ActNorm(nn.Module):
    """Learned scale and shift of each feature: `data = latent * exp(log_scale) + shift`.

    Kingma and Dhariwal, "Glow", 2018, arXiv:1807.03039. It starts as the identity and takes its
    first values from data only where it is told to (`FlowTransform.initialise`): neither a first
    draw nor a first batch of one datum can spoil it, and no call depends on how many came before.

    Args:
        dim: Number of features.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    @torch.no_grad()
    def initialise(self, data: Float[Tensor, "datum feature"]) -> None:
        """Make the latents of these data have mean zero and standard deviation one.

        Raises:
            DataError: There is one datum only, or a feature is the same for all.
        """
        if len(data) < 2:
            raise DataError(f"Found {len(data)} data to initialise with. Give at least two.")
        deviation = data.std(0)
        if bool((constant := deviation <= 1e-12 * data.abs().amax(0)).any()):
            raise DataError(
                f"Features {constant.nonzero().flatten().tolist()[:8]} are the same for all data, "
                "so they have no scale. Drop them, or add noise."
            )
        self.log_scale.copy_(deviation.log())
        self.shift.copy_(data.mean(0))

    def forward(
        self, latent: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return data and log-determinant."""
        return latent * self.log_scale.exp() + self.shift, self.log_scale.sum()

    def inverse(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return latents and log-determinant."""
        return (data - self.shift) * (-self.log_scale).exp(), -self.log_scale.sum()

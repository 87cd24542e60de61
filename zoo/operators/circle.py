"""The operator of a circle: angles that need not be steps of a finite group."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import ConfigError

__all__ = ["CircleOperator"]


class CircleOperator(nn.Module):
    """Turns the plane j of two neighbouring coordinates by `f_j` times an angle.

    Frequencies run from 0 to the highest, equally often. Restricted to the angles 2 pi k / K, with
    K above twice the highest, this is the complex operator of a cyclic group without its highest
    frequencies; between them it is the only representation that has no others.

    Args:
        highest_frequency: Of the planes.
        latent_dim: A multiple of twice the number of frequencies.

    Raises:
        ConfigError: It is not.
    """

    frequency: Tensor

    def __init__(self, highest_frequency: int, latent_dim: int) -> None:
        super().__init__()
        self.highest_frequency = highest_frequency
        unit = 2 * (highest_frequency + 1)
        if latent_dim < unit or latent_dim % unit:
            raise ConfigError(
                f"Found latent_dim={latent_dim}, but planes that turn at each of the frequencies "
                f"0 to {highest_frequency} equally often need a multiple of {unit}, such as "
                f"{max(1, round(latent_dim / unit)) * unit}."
            )
        frequency = torch.arange(highest_frequency + 1).repeat_interleave(latent_dim // unit)
        self.register_buffer("frequency", frequency, persistent=False)

    def forward(
        self, latent: Float[Tensor, "*#batch latent"], angle: Float[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch latent"]:
        """Return psi(angle) latent, the angle in radians."""
        phase = angle.unsqueeze(-1) * self.frequency
        cosine, sine = phase.cos(), phase.sin()
        x, y = latent.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1).flatten(-2)

    def products(
        self, latent: Float[Tensor, "*batch latent"], rows: Float[Tensor, "row latent"], count: int
    ) -> Float[Tensor, "*batch angle row"]:
        """Return `rows psi(angle) latent` for so many angles, equally spaced from 0.

        Planes of the same frequency are added up before they turn.
        """
        planes = (self.highest_frequency + 1, -1, 2)
        x, y = latent.unflatten(-1, planes).unbind(-1)
        u, v = rows.unflatten(-1, planes).unbind(-1)
        sum_up = "... f c, r f c -> ... f r"
        even = torch.einsum(sum_up, x, u) + torch.einsum(sum_up, y, v)
        odd = torch.einsum(sum_up, x, v) - torch.einsum(sum_up, y, u)
        angle = torch.arange(count, device=latent.device).to(latent) * (2 * math.pi / count)
        phase = angle.unsqueeze(-1) * torch.arange(planes[0], device=latent.device)
        return phase.cos() @ even + phase.sin() @ odd

"""Rotational fields: each moves points along the level sets of its own Hamiltonian."""

import math

import torch
from torch import nn

from .flow import AbstractField, require_positive
from .ridge import RidgeFlow

__all__ = ["RotationalField"]


class RotationalField(AbstractField):
    """K fields `r_k = (B_k - B_k') grad h_k(z)`, divergence-free by construction.

    `h_k(z) = sum_h w_kh log cosh(W_kh . z + b_kh) + z' diag(s_k) z / 2`. The divergence is the
    trace of an antisymmetric matrix times a symmetric one, which is zero; densities ride along
    unchanged. With `s_k > 0` the quadratic part keeps points on ellipsoids, never outwards. The
    reference only penalises divergence (see `PenalisedField`).

    Args:
        num_fields: Number K of fields.
        latent_dim: Dimension D of the latent space.
        hidden_dim: Number H of ridge functions of each Hamiltonian.
        scale: Size of the ridge functions' weights and, halved, of `s_k`, at initialisation. Of a
            velocity where `|z|^2 = D` the quadratic part alone is about `scale / 2 * sqrt(D)` long;
            with 0.3, whole ones measure 0.33 for D = 4, 0.64 for D = 16 and 1.23 for D = 64.
    """

    def __init__(
        self, num_fields: int, latent_dim: int, hidden_dim: int = 32, *, scale: float = 0.3
    ) -> None:
        super().__init__()
        require_positive(num_fields=num_fields, latent_dim=latent_dim, hidden_dim=hidden_dim)
        self.num_fields, self.latent_dim = num_fields, latent_dim
        hidden = (num_fields, hidden_dim)
        self.inward = nn.Parameter(torch.randn(*hidden, latent_dim) / math.sqrt(latent_dim))
        self.bias = nn.Parameter(torch.randn(hidden))
        self.weight = nn.Parameter(torch.randn(hidden) * scale * math.sqrt(2 / hidden_dim))
        turning = torch.randn(num_fields, latent_dim, latent_dim) / math.sqrt(2 * latent_dim)
        self.turning = nn.Parameter(turning)
        stiffness = torch.full((num_fields, latent_dim), scale / 2)
        self.log_stiffness = nn.Parameter(stiffness.log())

    def flow(self) -> RidgeFlow:
        """Fold the parameters: hidden units push at right angles to their own directions."""
        antisymmetric = self.turning - self.turning.mT
        return RidgeFlow(
            inward=self.inward,
            bias=self.bias,
            drift=torch.zeros_like(self.bias),
            outward=self.weight.unsqueeze(-1) * (self.inward @ antisymmetric.mT),
            linear=antisymmetric * self.log_stiffness.exp().unsqueeze(-2),
        )

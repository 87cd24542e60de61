"""Potential fields: each moves points up the gradient of its own scalar potential."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .flow import AbstractField, require_positive
from .ridge import RidgeFlow

__all__ = ["PotentialField"]


class PotentialField(AbstractField):
    """K gradient fields `v_k = grad u_k(z, t)`, curl-free by construction.

    `u_k(z, t) = sum_h w_kh log cosh(W_kh . z + b_kh + c_kh t) + e_k t`, so gradient, Laplacian and
    time derivative are closed forms, and velocities are bounded: points cannot run off
    exponentially. The last term moves nothing; it is what a Hamilton-Jacobi equation balances.
    The potentials play the role of `u^k` in Song et al. 2024 (arXiv:2410.05564).

    Args:
        num_fields: Number K of fields.
        latent_dim: Dimension D of the latent space.
        hidden_dim: Number H of ridge functions of each potential.
        time_dependent: Whether potentials change with time (learns `c`).
        balanced: Whether to learn `e` too, which only a Hamilton-Jacobi penalty can.
        scale: Typical length of a velocity where `|z|^2 = D`, at initialisation.
    """

    def __init__(
        self,
        num_fields: int,
        latent_dim: int,
        hidden_dim: int = 32,
        *,
        time_dependent: bool = False,
        balanced: bool = False,
        scale: float = 0.3,
    ) -> None:
        super().__init__()
        require_positive(num_fields=num_fields, latent_dim=latent_dim, hidden_dim=hidden_dim)
        self.num_fields, self.latent_dim = num_fields, latent_dim
        hidden = (num_fields, hidden_dim)
        self.inward = nn.Parameter(torch.randn(*hidden, latent_dim) / math.sqrt(latent_dim))
        self.bias = nn.Parameter(torch.randn(hidden))
        drift = torch.randn(hidden) * 0.1 if time_dependent else torch.zeros(hidden)
        self.drift = nn.Parameter(drift, requires_grad=time_dependent)
        self.rate = nn.Parameter(torch.zeros(num_fields), requires_grad=balanced)
        self.weight = nn.Parameter(torch.randn(hidden) * scale * math.sqrt(2 / hidden_dim))

    def flow(self) -> RidgeFlow:
        """Fold the parameters: hidden units push along their own directions."""
        return RidgeFlow(
            inward=self.inward,
            bias=self.bias,
            drift=self.drift,
            outward=self.weight.unsqueeze(-1) * self.inward,
            linear=self.inward.new_zeros(self.num_fields, self.latent_dim, self.latent_dim),
        )

    def _arguments(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field hidden"]:
        projected = torch.einsum("...d,khd->...kh", latent, self.inward)
        return projected + self.bias + self.drift * time

    def potential(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the potential `u_k(z, t)` of every field at `latent` `(*batch, D)`."""
        argument = self._arguments(latent, time).abs()
        log_cosh = argument + torch.log1p(torch.exp(-2 * argument)) - math.log(2)
        return (self.weight * log_cosh).sum(-1) + self.rate * torch.as_tensor(time).squeeze(-1)

    def time_derivative(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the partial derivative of every potential with respect to time, per frame."""
        slope = torch.tanh(self._arguments(latent, time))
        return (self.weight * self.drift * slope).sum(-1) + self.rate

    def laplacian(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the Laplacian of every potential, which is its field's divergence."""
        return self.flow().divergence_each(latent, time)

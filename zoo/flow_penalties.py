"""Terms that the published objectives of flow-based models add to an ELBO."""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .fields import AbstractField, PotentialField
from .nets import mlp
from .transport import Transported

__all__ = [
    "FlowPenalties",
    "density_mismatch",
    "hamilton_jacobi_residual",
    "hamilton_jacobi_terms",
    "initial_motion",
]


class FlowPenalties(nn.Module):
    """The published penalties on a flow, each with its weight; 0 leaves it out.

    Args:
        latent_dim: Dimension D of the latent space.
        num_fields: Number K of fields.
        density_matching: Whether to compare densities along the flow, see `density_mismatch`.
        hamilton_jacobi: Weight of `hamilton_jacobi_residual`.
        force: Whether the Hamilton-Jacobi equation has an external force (2023) or not (2024).
        initial_rest: Weight of `initial_motion`.
        divergence: Whether to add the mean squared divergence of the rotational fields.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        num_fields: int,
        density_matching: bool,
        hamilton_jacobi: float,
        force: bool,
        initial_rest: float,
        divergence: bool,
    ) -> None:
        super().__init__()
        self.hamilton_jacobi, self.initial_rest = hamilton_jacobi, initial_rest
        self.divergence = divergence
        self.force = mlp([latent_dim + 1, 32, 1]) if hamilton_jacobi and force else None
        self.log_diffusion: nn.Parameter | None = None
        if density_matching:
            self.log_diffusion = nn.Parameter(torch.full((num_fields,), -2.0))

    @property
    def active(self) -> bool:
        """Whether there is any penalty at all."""
        weights = self.hamilton_jacobi, self.initial_rest, self.divergence
        return self.log_diffusion is not None or any(weights)

    def forward(
        self,
        potential: PotentialField,
        rotational: AbstractField,
        moved: Transported,
        speed: Float[Tensor, "*#batch time field"],
        start_log_prob: Float[Tensor, "*#batch"],
    ) -> dict[str, Float[Tensor, "..."]]:
        """Return the weighted penalties of each sequence by name.

        Args:
            potential: The potentials.
            rotational: The rotational fields.
            moved: The path, with its change of log-density.
            speed: Speeds of each transition.
            start_log_prob: The guide's log-density of the starting points.
        """
        penalties = {}
        if self.log_diffusion is not None:
            diffusion = self.log_diffusion.exp()
            penalties["density_matching"] = density_mismatch(
                moved, speed, start_log_prob, diffusion
            )
        if self.hamilton_jacobi:
            residual = hamilton_jacobi_residual(potential, moved.latent, self.force)
            penalties["hamilton_jacobi"] = self.hamilton_jacobi * residual
        if self.initial_rest:
            moving = initial_motion(potential, moved.latent[..., 0, :])
            penalties["initial_rest"] = self.initial_rest * moving
        if self.divergence:
            zero = torch.zeros((), dtype=speed.dtype, device=speed.device)
            divergence = rotational.flow().divergence_each(moved.latent, zero)
            penalties["divergence"] = divergence.square().mean((-1, -2))
        return penalties


def density_mismatch(
    moved: Transported,
    speed: Float[Tensor, "*#batch time field"],
    start_log_prob: Float[Tensor, "*#batch"],
    diffusion: Float[Tensor, " coefficient"],
) -> Float[Tensor, "*_"]:
    """Return `sum_t log q_t(z_t) - log p_t(z_t)`, the published density matching.

    The prior flow of Song et al. 2023 diffuses N(0, I), which has the closed form
    `p_t = N(0, (1 + 2 sum_(s<=t) sum_k D_k |speed_sk|) I)`. Marginal densities are compared at each
    frame, so this is no part of an evidence bound.

    Args:
        moved: The guide's flow from draws of z0, with its change of log-density.
        speed: Speeds of each transition; under double control, both halves diffuse.
        start_log_prob: The guide's log-density of the draws.
        diffusion: Coefficient D_k of each field.
    """
    rate = diffusion.repeat(speed.shape[-1] // len(diffusion))
    variance = 1 + 2 * (speed.abs() * rate).sum(-1).cumsum(-1)
    latent, change = moved.latent[..., 1:, :], cast(Tensor, moved.log_density)
    log_guide = start_log_prob.unsqueeze(-1) + change[..., 1:]
    squares = latent.square().sum(-1) / variance
    log_prior = -0.5 * (squares + latent.shape[-1] * torch.log(2 * math.pi * variance))
    return (log_guide - log_prior).sum(-1)


def hamilton_jacobi_residual(
    potential: PotentialField,
    latent: Float[Tensor, "*batch frame latent"],
    force: nn.Module | None,
) -> Float[Tensor, "*batch"]:
    """Return the mean squared residual of `d_t u + |grad u|^2 / 2 = f <= 0` along a path.

    Residuals are those of single sequences; the authors' code sums time derivatives over a batch.

    Args:
        potential: The potentials u_k.
        latent: A path; frame t is taken at time t.
        force: Network of `(z, t)` whose negative square is f; None for f = 0.
    """
    times = torch.arange(latent.shape[-2], dtype=latent.dtype, device=latent.device)
    residual, _ = hamilton_jacobi_terms(potential, latent, times, force)
    return residual.square().mean((-1, -2))


def initial_motion(
    potential: PotentialField, start: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch"]:
    """Return the mean of `|grad u_k(z, t)|^2` one frame before the first transition begins.

    The published initial condition asks for none; its discrete clock starts a frame earlier.

    Args:
        potential: The potentials u_k.
        start: Latents of the first frame.
    """
    before = torch.full((), -1.0, dtype=start.dtype, device=start.device)
    return potential(start, before).square().sum(-1).mean(-1)


def hamilton_jacobi_terms(
    potential: PotentialField,
    latent: Float[Tensor, "*batch frame latent"],
    times: Float[Tensor, " frame"],
    force: nn.Module | None,
) -> tuple[Float[Tensor, "*batch frame field"], Float[Tensor, "*batch frame field"]]:
    """Return the residual and the kinetic energy `|grad u|^2 / 2` at each frame."""
    clock = times.unsqueeze(-1).unsqueeze(-1)
    energy = potential(latent, clock).square().sum(-1) / 2
    residual = potential.time_derivative(latent, clock) + energy
    if force is not None:
        stamp = times.expand(latent.shape[:-1]).unsqueeze(-1)
        residual = residual + force(torch.cat([latent, stamp], -1)).square()
    return residual, energy

"""Terms that the published objectives of flow-based models add to an ELBO."""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .fields import AbstractFlow, PotentialField
from .transport import Method, transport

__all__ = [
    "density_mismatch",
    "hamilton_jacobi_residual",
    "hamilton_jacobi_terms",
    "initial_motion",
]


def density_mismatch(
    flow: AbstractFlow,
    start: Float[Tensor, "*#batch latent"],
    speed: Float[Tensor, "*#batch time field"],
    start_log_prob: Float[Tensor, "*#batch"],
    diffusion: Float[Tensor, " coefficient"],
    *,
    method: Method = "rk4",
    steps_per_frame: int = 1,
) -> Float[Tensor, "*_"]:
    """Return `sum_t log q_t(z_t) - log p_t(z_t)`, the published density matching.

    The prior flow of Song et al. 2023 diffuses N(0, I), which has the closed form
    `p_t = N(0, (1 + 2 sum_(s<=t) sum_k D_k |speed_sk|) I)`. Marginal densities are compared at each
    frame, so this is no part of an evidence bound.

    Args:
        flow: The fields of the guide's flow.
        start: Draws of z0.
        speed: Speeds of each transition; under double control, both halves diffuse.
        start_log_prob: The guide's log-density of `start`.
        diffusion: Coefficient D_k of each field.
        method: Solver, see `transport`.
        steps_per_frame: Its number of steps for each frame.
    """
    moved = transport(
        flow, start, speed, method=method, steps_per_frame=steps_per_frame, density=True
    )
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

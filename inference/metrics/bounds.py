"""Lower bounds of the evidence from weighted draws: the ELBO and the importance-weighted bound."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...zoo.errors import ConfigError, DataError
from ..sampler import Sampler
from .particles import check_batch, evaluation, particle_chunks

__all__ = ["Bounds", "elbo_and_iwae", "importance_log_weights"]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Lower bounds of log p(x) of each datum, in nats.

    Attributes:
        elbo: Mean log-weight.
        iwae: Importance-weighted bound (Burda et al. 2016, arXiv:1509.00519); above the ELBO, and
            closer to log p(x) the more particles it has.
        particles: How many particles that bound has.
        effective_particles: How many equal weights carry as much as these, from 1 to all draws.
    """

    elbo: Float[Tensor, " datum"]
    iwae: Float[Tensor, " datum"]
    particles: int
    effective_particles: Float[Tensor, " datum"]


def importance_log_weights(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    particles: int,
    seed: int,
) -> Float[Tensor, "particle datum"]:
    """Return log p(x, latents) - log q(latents | x), in nats, at draws of the guide.

    Particles are evaluated together, in parts that bound the memory. Latents that all data share
    are given in both densities and are in neither.

    Args:
        model: A Pyro model.
        guide: Its guide.
        batch: Observed tensors by name; first axis the data.
        particles: Number of draws of each datum.
        seed: Seed of the draws.

    Raises:
        ConfigError: `particles` is below 1, or the guide lacks a site of the model.
        DataError: There are no data, or some are not finite.
    """
    with evaluation(model, guide, seed=seed):
        batch = check_batch(batch, model)
        sampler, parts = Sampler(model, guide, batch), []
        for chunk in particle_chunks(batch, particles):
            densities = sampler.densities(sampler.draw(batch, chunk))
            parts.append(densities.log_p - densities.log_q)
        return torch.cat(parts)


def elbo_and_iwae(
    log_weights: Float[Tensor, "particle datum"], particles: int | None = None
) -> Bounds:
    """Return both bounds of each datum.

    Args:
        log_weights: What `importance_log_weights` returned. A weight of zero (minus infinity) is
            legal: a draw that the model excludes.
        particles: Number of particles of the importance-weighted bound; the bounds of disjoint
            blocks of that size are averaged, and draws left over are not used. All by default.

    Raises:
        ConfigError: `particles` is below 1 or above the number of draws.
        DataError: There are no weights, or some are NaN or plus infinity.
    """
    if log_weights.ndim != 2 or log_weights.numel() == 0:
        raise DataError(
            f"Found log-weights of shape {tuple(log_weights.shape)}, but (particle, datum) with at "
            "least one of each is needed."
        )
    if bool((torch.isnan(log_weights) | torch.isposinf(log_weights)).any()):
        raise DataError(
            "Found log-weights that are NaN or plus infinity, but finite ones (or minus infinity) "
            "are needed. Look for sites whose density is not finite at a draw of the guide."
        )
    draws = len(log_weights)
    size = draws if particles is None else particles
    if not 1 <= size <= draws:
        raise ConfigError(f"Found particles={size}, but 1 to {draws}, the number of draws, fit.")
    blocks = log_weights[: draws // size * size].reshape(-1, size, log_weights.shape[1])
    weights = torch.softmax(log_weights, 0).nan_to_num()  # NaN where every weight is zero
    return Bounds(
        elbo=log_weights.mean(0),
        iwae=(torch.logsumexp(blocks, 1) - math.log(size)).mean(0),
        particles=size,
        effective_particles=weights.square().sum(0).reciprocal(),
    )

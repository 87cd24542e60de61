"""Normals that depend on each other: their divergence from those that do not, in closed form."""

from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import MultivariateNormal
from torch import Tensor
from torch.distributions import Independent, Normal, register_kl

__all__ = ["correlation_factor"]


def correlation_factor(
    free: Float[Tensor, "feature feature"],
) -> Float[Tensor, "feature feature"]:
    """Return the Cholesky factor of a correlation matrix, from numbers without bounds.

    Those on and above the diagonal do not matter; zeros below it give the identity.
    """
    lower = free.tril(-1) + torch.eye(len(free), dtype=free.dtype, device=free.device)
    return lower / lower.norm(dim=-1, keepdim=True)


@register_kl(Independent, torch.distributions.MultivariateNormal)
def _kl_from_independent(
    q: Any,  # noqa: ANN401 - `Independent` of something
    p: MultivariateNormal,
) -> Float[Tensor, "*batch"]:
    """KL of a Normal without correlations from one with them; its scale matrix may be shared."""
    base = q.base_dist
    if not isinstance(base, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    factor = p._unbroadcasted_scale_tril
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    away = ((base.loc - p.loc) @ inverse.mT).square().sum(-1)
    spread = (base.scale.square() * inverse.square().sum(-2)).sum(-1)
    volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - base.scale.log().sum(-1)
    return (away + spread - factor.shape[-1]) / 2 + volume

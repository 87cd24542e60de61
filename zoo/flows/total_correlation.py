"""Estimates of the total correlation of a decoder: zero for orthogonal columns of its Jacobian.

Gresele, von Kügelgen, Stimper, Schölkopf, Besserve, "Independent mechanism analysis, a new
concept?", 2021, arXiv:2106.05200.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .jacobian import (
    log_column_norm,
    log_column_norms,
    log_row_norm,
    one_hot,
    probed_log_norms,
    spread_over,
)
from .transform import FlowTransform

__all__ = ["Estimator", "TotalCorrelation", "total_correlation"]

Estimator = Literal["rows", "columns", "probes", "dense"]

_PROBES = 4  # with two or fewer, gradients have no variance that is finite


class TotalCorrelation(NamedTuple):
    """An estimate, and what was looked at for it.

    Attributes:
        value: The estimate at each latent vector.
        seen: 1 at each latent that was looked at, 0 at all others.
        log_norm: What was found of log ||J_i|| at each latent that was looked at.
    """

    value: Float[Tensor, "*batch"]
    seen: Float[Tensor, "*batch latent"]
    log_norm: Float[Tensor, "*batch #latent"]


def total_correlation(
    flow: FlowTransform,
    latent: Float[Tensor, "*batch latent"],
    estimator: Estimator,
    known: Float[Tensor, " known"] | None = None,
) -> TotalCorrelation:
    """Estimate `sum_i log ||J_i|| - log |det J|` at latents, J_i the columns of the Jacobian J.

    Args:
        flow: The decoder.
        latent: Where.
        estimator: "columns" draws one column for each datum, and its mean over draws is exact;
            "rows" draws a row of the encoder's Jacobian instead, which has the same zeros and is
            read off the graph that has just encoded the data; "probes" looks at all columns with
            a few random vectors, see `probed_log_norms`, and its mean is exact, too; "dense" takes
            all columns.
        known: log ||J_i|| of the last latents, where it is the same at all and these columns are at
            right angles to all others; they are not drawn.
    """
    log_det = flow.log_abs_det_jacobian(latent, flow(latent))
    dim = latent.shape[-1]
    if estimator in ("dense", "probes"):
        if estimator == "dense":
            norms = log_column_norms(flow, latent.reshape(-1, dim)).reshape(latent.shape)
        else:
            norms = probed_log_norms(flow, latent, _PROBES)
        return TotalCorrelation(norms.sum(-1) - log_det, torch.ones_like(latent), norms)
    settled, dim = (0.0, dim) if known is None else (known.sum(), dim - len(known))
    index = spread_over(latent[..., :dim])
    seen = one_hot(index, latent)
    if estimator == "rows":
        log_norm = log_row_norm(flow, latent, index)
        return TotalCorrelation(dim * log_norm - settled + log_det, seen, -log_norm.unsqueeze(-1))
    log_norm = log_column_norm(flow, latent, index)
    return TotalCorrelation(dim * log_norm + settled - log_det, seen, log_norm.unsqueeze(-1))

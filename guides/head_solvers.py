"""Posteriors of the heads of many tasks at once, by a few rounds of variational updates."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .label_evidence import Heads, LabelEvidence

__all__ = ["Precision", "normal_heads", "spiky_heads"]

_RARE = 1e-3

# Precision of the prior of each weight, given the second moment of its posterior.
Precision = Callable[[Float[Tensor, "task output feature"]], Float[Tensor, "task output feature"]]


def normal_heads(
    evidence: LabelEvidence,
    precision: Precision,
    bias_precision: float,
    start: Float[Tensor, "task output feature"],
    rounds: int,
    last: int = 0,
) -> Heads:
    """Return Normal posteriors of heads whose prior is a scale mixture of Normals.

    Each round solves for all coefficients of a head together, then lets the prior's scales and the
    quadratic of the likelihood follow: coordinate ascent of the ELBO of Laplace, horseshoe and
    Normal priors alike, which differ in `precision`. Classes are treated given each other's means.

    Args:
        evidence: What labels say.
        precision: The prior, see `Precision`.
        bias_precision: Precision of the prior of biases.
        start: Second moment of weights to begin with.
        rounds: How many.
        last: Further ones that follow the likelihood itself, see `LabelEvidence.follow`.
    """
    heads = _solved(evidence, precision(start), bias_precision)
    for done in range(rounds - 1 + last):
        (evidence.tighten if done < rounds - 1 else evidence.follow)(heads)
        heads = _solved(evidence, precision(heads.second[..., :-1]), bias_precision)
    return heads


def _solved(
    evidence: LabelEvidence,
    precision: Float[Tensor, "task output feature"],
    bias_precision: float,
) -> Heads:
    matrix, linear = evidence.quadratic
    bias = torch.full_like(precision[..., :1], bias_precision)
    factor = torch.linalg.cholesky(matrix + torch.diag_embed(torch.cat([precision, bias], -1)))
    mean = torch.cholesky_solve(linear.unsqueeze(-1), factor).squeeze(-1)
    return Heads(mean, torch.cholesky_inverse(factor))


def spiky_heads(
    evidence: LabelEvidence,
    log_odds: Float[Tensor, "task 1 feature"],
    slab_precision: Float[Tensor, "task 1 1"],
    bias_precision: float,
    begin: Heads,
    rounds: int,
    last: int = 0,
) -> tuple[Float[Tensor, "task output coefficient"], Heads]:
    """Return the log-odds that weights are on, and what they are then; the bias always is.

    Coefficients are updated one after the other given the means of all others (Titsias and
    Lázaro-Gredilla 2011; Carbonetto and Stephens 2012). At last, where that is asked for, widths
    and log-odds become what they are if all others may give way.

    Args:
        evidence: What labels say.
        log_odds: Expected log-odds of the prior, less what being on costs.
        slab_precision: Precision of the prior of weights that are on.
        bias_precision: Precision of the prior of biases.
        begin: Where to begin.
        rounds: How often all are updated.
        last: Further times, following the likelihood itself.
    """
    mean, features = begin.mean.clone(), begin.mean.shape[-1] - 1
    prior = slab_precision.expand_as(mean).clone()
    prior[..., -1] = bias_precision
    odds = torch.cat([log_odds.expand_as(mean[..., :-1]), torch.full_like(mean[..., :1], 50)], -1)
    heads = begin
    on, spread = torch.ones_like(mean), torch.zeros_like(mean)
    gate = odds.clone()
    for done in range(rounds + last):
        (evidence.tighten if done < rounds else evidence.follow)(heads)
        matrix, linear = evidence.quadratic
        precise = matrix.diagonal(dim1=-2, dim2=-1) + prior
        spread = 1 / precise
        for k in (*range(features), features):
            others = (matrix[..., k, :] * on * mean).sum(-1)
            others = others - matrix[..., k, k] * on[..., k] * mean[..., k]
            mean[..., k] = (linear[..., k] - others) / precise[..., k]
            if k < features:
                gain = _gain(mean[..., k], precise[..., k], prior[..., k])
                gate[..., k] = odds[..., k] + gain
                on[..., k] = torch.sigmoid(gate[..., k])
        second = on * (mean.square() + spread)
        heads = Heads(on * mean, torch.diag_embed(second - (on * mean).square()))
    if last:
        precise = precise - _explained(matrix, prior / on.clamp(min=_RARE))
        gate, spread = odds + _gain(mean, precise, prior), 1 / precise
    return gate, Heads(mean, torch.diag_embed(spread))


def _gain(mean: Tensor, precise: Tensor, prior: Tensor) -> Tensor:
    """Return by how much the log-density of labels is higher with a weight than without."""
    return (precise * mean.square() + torch.log(prior / precise)) / 2


def _explained(
    matrix: Float[Tensor, "task output coefficient coefficient"],
    prior: Float[Tensor, "task output coefficient"],
) -> Float[Tensor, "task output coefficient"]:
    """Return how much of the precision of each coefficient the others can make up for."""
    full = matrix + torch.diag_embed(prior)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(full))
    return full.diagonal(dim1=-2, dim2=-1) - 1 / inverse.diagonal(dim1=-2, dim2=-1)

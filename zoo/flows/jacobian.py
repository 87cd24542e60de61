"""The Jacobian of a flow: single columns and rows at the cost of a pass, or many of them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import jvp, vjp, vmap

from .transform import FlowTransform

__all__ = [
    "columns",
    "log_column_norm",
    "log_column_norms",
    "log_row_norm",
    "one_hot",
    "probed_log_norms",
    "spread_over",
]

_VALUES_AT_ONCE = 2**22


def spread_over(latent: Float[Tensor, "*batch latent"]) -> Int[Tensor, "*batch"]:
    """Return one latent's index for each datum: all equally likely, and equally often in a batch.

    The first is drawn; the others follow in steps of about the golden section, so that those of
    one batch are spread over latents that may lie in groups.
    """
    dim, leading = latent.shape[-1], latent.shape[:-1]
    golden = round(0.618 * dim)
    step = next(k for k in range(max(1, golden), golden + dim) if math.gcd(k, dim) == 1)
    places = torch.arange(leading.numel(), device=latent.device)
    first = torch.randint(dim, (), device=latent.device)
    return ((step * places + first) % dim).reshape(leading)


def one_hot(index: Int[Tensor, "*batch"], like: Float[Tensor, "*_ latent"]) -> Tensor:
    """Return 1 at each index and 0 elsewhere; unlike PyTorch's, it reads nothing back."""
    places = torch.arange(like.shape[-1], device=index.device)
    return (index.unsqueeze(-1) == places).to(like)


def log_column_norm(
    flow: FlowTransform, latent: Float[Tensor, "*batch latent"], index: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Return log ||d data / d latent_k||, one k for each datum, by one pass of forward mode."""
    tangent = one_hot(index, latent)
    column: Tensor = jvp(lambda z: flow.decode(z)[0], (latent,), (tangent,))[1]
    return torch.linalg.vector_norm(column, dim=-1).log()


def log_row_norm(
    flow: FlowTransform, latent: Float[Tensor, "*batch latent"], index: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Return log ||d latent_k / d data||, one k for each datum, by one backward pass.

    Where the flow has just encoded data that need gradients, their graph is used; else the data
    are encoded anew.
    """
    data = flow(latent)
    known = torch.is_grad_enabled() and latent.requires_grad and data.requires_grad
    row = _row(latent, data, index) if known else None
    if row is None:
        with torch.inference_mode(mode=False), torch.enable_grad():
            data = data.detach().clone().requires_grad_()
            row = _row(flow.encode(data)[0], data, index.clone())
    assert row is not None
    return torch.linalg.vector_norm(row, dim=-1).log()


def _row(latent: Tensor, data: Tensor, index: Tensor) -> Tensor | None:
    chosen = latent.gather(-1, index.unsqueeze(-1)).sum()
    (row,) = torch.autograd.grad(chosen, data, create_graph=True, allow_unused=True)
    return row


def columns(
    flow: FlowTransform,
    latent: Float[Tensor, "datum latent"],
    indices: Int[Tensor, " column"] | None = None,
) -> Float[Tensor, "datum feature column"]:
    """Return columns of the Jacobian of the decoder, one pass of forward mode for each.

    Args:
        flow: The flow.
        latent: Where.
        indices: Which columns; None takes all.
    """
    return _each_column(flow, latent, indices, lambda column: column)


def log_column_norms(
    flow: FlowTransform, latent: Float[Tensor, "datum latent"]
) -> Float[Tensor, "datum latent"]:
    """Return log ||d data / d latent_k|| for every k, without holding all columns at once."""
    return _each_column(
        flow, latent, None, lambda column: torch.linalg.vector_norm(column, dim=-1).log()
    )


def probed_log_norms(
    flow: FlowTransform, latent: Float[Tensor, "datum latent"], probes: int
) -> Float[Tensor, "datum latent"]:
    """Estimate log ||d data / d latent_k|| for every k, by some backward passes however many k.

    A normal vector of the data, pulled back, is normal with the norms of columns as its standard
    deviations. The logarithm of a sum of their squares has a known mean, which is taken off, so
    that estimates are unbiased; the variance of each is about `1 / (2 * probes)`.

    Args:
        flow: The flow.
        latent: Where.
        probes: Number of random vectors for each datum.
    """
    decoded: Any = vjp(lambda z: flow.decode(z)[0], latent)
    data, pull = decoded
    total = torch.zeros_like(latent)
    for _ in range(probes):
        total = total + pull(torch.randn_like(data))[0].square()
    mean_of_log = torch.digamma(torch.tensor(probes / 2, dtype=torch.float64)) + math.log(2)
    return (total.log() - float(mean_of_log)) / 2


def _each_column(
    flow: FlowTransform,
    latent: Tensor,
    indices: Tensor | None,
    reduce: Callable[[Tensor], Tensor],
) -> Tensor:
    dim = latent.shape[-1]
    wanted = torch.arange(dim, device=latent.device) if indices is None else indices
    tangents = one_hot(wanted, latent)

    def column(tangent: Tensor) -> Tensor:
        moved: Tensor = jvp(lambda z: flow.decode(z)[0], (latent,), (tangent.expand_as(latent),))[1]
        return reduce(moved)

    together = max(1, _VALUES_AT_ONCE // max(1, 8 * latent.numel()))
    found: Tensor = vmap(column, out_dims=-1, chunk_size=together)(tangents)
    return found

"""The Jacobian of a flow: single columns and rows at the cost of a pass, or many of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import jvp, vmap

from .transform import FlowTransform

__all__ = ["columns", "log_column_norm", "log_row_norm", "one_hot", "spread_over"]

_VALUES_AT_ONCE = 2**22


def spread_over(latent: Float[Tensor, "*batch latent"]) -> Int[Tensor, "*batch"]:
    """Return one latent's index for each datum: all equally likely, and equally often in a batch.

    The first is drawn; the others follow in order, which is as random as the order of the data.
    """
    dim, leading = latent.shape[-1], latent.shape[:-1]
    places = torch.arange(leading.numel(), device=latent.device)
    first = torch.randint(dim, (), device=latent.device)
    return ((places + first) % dim).reshape(leading)


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
    dim = latent.shape[-1]
    wanted = torch.arange(dim, device=latent.device) if indices is None else indices
    tangents = one_hot(wanted, latent)

    def column(tangent: Tensor) -> Tensor:
        moved: Tensor = jvp(lambda z: flow.decode(z)[0], (latent,), (tangent.expand_as(latent),))[1]
        return moved

    together = max(1, _VALUES_AT_ONCE // max(1, 8 * latent.numel()))
    found: Tensor = vmap(column, out_dims=-1, chunk_size=together)(tangents)
    return found

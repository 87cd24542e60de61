"""How much an inferred block listens to true blocks that are not its own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ...zoo.errors import DataError
from .arrays import checked
from .blocks import matched

__all__ = ["CrossTalk", "cross_talk"]


@dataclass(frozen=True, eq=False)
class CrossTalk:
    """Which true block moves which inferred one, when moved by a little.

    Attributes:
        shares: Share of the squared Jacobian of each inferred block that belongs to each true one;
            each row sums to 1, or to 0 where nothing moves the block.
        total: Share that belongs to other blocks than the matched one, averaged over the matched
            blocks: 0 if each block listens to one true block alone, and one half at most where
            there are two.
    """

    shares: Float[np.ndarray, "block truth"]
    total: float


def cross_talk(
    read: Callable[[Float[Tensor, "datum truth coordinate"]], Float[Tensor, "datum block latent"]],
    true: Shaped[Tensor, "..."],
) -> CrossTalk:
    """Return how much blocks that are read off data depend on true blocks that are not theirs.

    The Jacobian of each inferred latent is made a unit vector first, so that neither its scale nor
    a monotone map of it counts. True coordinates should be in one unit.

    Args:
        read: Renders the data of true blocks, each by itself, and infers their latents; it has to
            be differentiable.
        true: True blocks of each datum, (datum, truth, coordinate).

    Raises:
        DataError: Shapes do not fit, or a number is not finite.
    """
    checked(true.detach(), "true blocks", ("datum", "truth", "coordinate"))
    jacobian = _jacobian(read, true)
    if jacobian.ndim != 5:
        raise DataError(
            f"Found {jacobian.ndim - 3} axes of what is read off a datum, but two are needed: "
            "block and latent."
        )
    squares = jacobian.square().sum(-1)
    lengths = squares.sum(-1, keepdim=True)
    directions = squares / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)
    shares = checked(directions.mean((0, 2)), "shares", ("block", "truth"))
    match = matched(shares.T).block_of_truth
    own = [shares[block, truth] for truth, block in enumerate(match) if block >= 0]
    return CrossTalk(shares, float(1 - np.mean(own)))


def _jacobian(
    read: Callable[[Tensor], Tensor], true: Float[Tensor, "datum truth coordinate"]
) -> Float[Tensor, "datum block latent truth coordinate"]:
    """Return the Jacobian of each datum; those of other data are zero, so all are summed."""
    inputs = true.detach().requires_grad_()
    with torch.enable_grad():
        found = read(inputs)
        columns = [
            torch.autograd.grad(found[(slice(None), *where)].sum(), inputs, retain_graph=True)[0]
            for where in np.ndindex(*found.shape[1:])
        ]
    return torch.stack(columns, 1).unflatten(1, found.shape[1:])

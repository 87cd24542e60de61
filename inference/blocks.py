"""What blocks of latents show: parts of pictures, traversals, and how they match the truth.

Works for any model with a latent site that has an axis `block` and, last, an axis `latent`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from .conditioned import axes_of, drawn_latents, observed_mean
from .metrics.blocks import BlockMatching, match_blocks
from .metrics.particles import check_batch, evaluation

if TYPE_CHECKING:
    import arviz

__all__ = [
    "HasParts",
    "block_images",
    "block_site",
    "blocks_of",
    "matching_of",
    "traverse_blocks",
    "true_blocks",
]


@runtime_checkable
class HasParts(Protocol):
    """A model whose mean image is a sum, see `AdditiveDecoder`."""

    def parts(self, latent: Tensor, **others: Tensor) -> Tensor:
        """Return what each block adds, from (…, block, latent) and latents that it names."""


def block_site(model: nn.Module, drawn: Collection[str]) -> str | None:
    """Return the name of the latent that has blocks of latents, if there is one.

    Args:
        model: A model with `dims`.
        drawn: Names of the latents that its guide draws; what follows from others is none.
    """
    names = (name for name, axes in axes_of(model).items() if axes[-2:] == ("block", "latent"))
    return next((name for name in names if name in drawn), None)


def block_images(
    model: nn.Module,
    guide: nn.Module,
    images: Float[Tensor, "sequence frame channel height width"],
    *,
    seed: int = 0,
) -> Float[Tensor, "sequence frame block channel height width"]:
    """Return what each block adds to the mean image of each frame; absent ones add nothing.

    Args:
        model: A Pyro model of image sequences with blocks of latents and `parts`. Further latents,
            such as which blocks are present, count if that takes them by their names.
        guide: Its guide.
        images: Sequences.
        seed: Of the guide's draw.

    Raises:
        ConfigError: The model has no such latents or no parts.
        DataError: There are no sequences, or some are not finite.
    """
    if not isinstance(model, HasParts):
        raise ConfigError(
            f"{type(model).__name__} has no `parts`: it does not say what each block adds."
        )
    with evaluation(model, guide, seed=seed):
        batch = check_batch({"images": images}, model)
        values = drawn_latents(model, guide, batch)
        return model.parts(values[_checked_site(model, values)], **_named(model.parts, values))


def traverse_blocks(
    model: nn.Module,
    guide: nn.Module,
    images: Float[Tensor, "sequence frame channel height width"],
    *,
    quantiles: Sequence[float] = (0.02, 0.18, 0.34, 0.5, 0.66, 0.82, 0.98),
    seed: int = 0,
) -> Float[Tensor, "block latent quantile channel height width"]:
    """Return the first image as it changes with each latent of each block, all else as inferred.

    Args:
        model: A Pyro model of image sequences with blocks of latents.
        guide: Its guide.
        images: Sequences; the first frame of the first is changed, and from the others one knows
            where latents lie.
        quantiles: Which quantiles over the first frames of all sequences each latent takes.
        seed: Of the guide's draw.

    Raises:
        ConfigError: The model has no blocks of latents, or a quantile is no number from 0 to 1.
        DataError: There are no sequences, or some are not finite.
    """
    if not quantiles or not all(0 <= q <= 1 for q in quantiles):
        raise ConfigError(f"Found quantiles={list(quantiles)}, but some from 0 to 1 are needed.")
    with evaluation(model, guide, seed=seed):
        batch = check_batch({"images": images}, model)
        values = drawn_latents(model, guide, batch)
        site = _checked_site(model, values)
        blocks = values[site][:, 0]
        places = torch.quantile(blocks, torch.tensor(quantiles).to(blocks), 0)
        count, size = blocks.shape[1:]
        copies = count * size * len(quantiles)
        first = {name: value[:1].repeat_interleave(copies, 0) for name, value in values.items()}
        moved = first[site].unflatten(0, (count, size, len(quantiles)))
        for block, latent in np.ndindex(count, size):
            moved[block, latent, :, 0, block, latent] = places[:, block, latent]
        first[site] = moved.flatten(0, 2)
        many = {
            name: tensor[:1].expand(copies, *tensor.shape[1:]) for name, tensor in batch.items()
        }
        mean = observed_mean(model, first, many)[:, 0]
    return mean.unflatten(0, (count, size, len(quantiles)))


def blocks_of(idata: arviz.InferenceData) -> Float[np.ndarray, "datum block latent"] | None:
    """Return the posterior mean of blocks of latents, all frames in one row; None without any."""
    for variable in idata["posterior"].data_vars.values():
        if variable.dims[-2:] == ("block", "latent"):
            mean: np.ndarray = variable.mean(("chain", "draw")).to_numpy()
            return mean.reshape(-1, *mean.shape[-2:])
    return None


def true_blocks(idata: arviz.InferenceData) -> Float[np.ndarray, "datum truth coordinate"] | None:
    """Return where the objects of each frame truly are; coordinates that never change are left out.

    None without a truth called `position`, (datum, frame, object, coordinate), or if objects do not
    change in the same coordinates.
    """
    truth: Any = idata.get("constant_data", {})
    if "position" not in truth or truth["position"].ndim != 4:
        return None
    found = np.asarray(truth["position"].to_numpy(), dtype=float)
    found = found.reshape(-1, *found.shape[2:])
    moves = np.ptp(found, 0) > 0
    if not (moves == moves[:1]).all() or not moves.any():
        return None
    return found[:, :, moves[0]]


def matching_of(idata: arviz.InferenceData) -> BlockMatching | None:
    """Return how the blocks of a posterior go with the objects of the truth.

    By ranks if both have one coordinate, else by trees.

    Args:
        idata: A posterior of data whose truth has a `position`.

    Returns:
        The match; None where the posterior or the truth lack what it takes.
    """
    inferred, true = blocks_of(idata), true_blocks(idata)
    if inferred is None or true is None or len(inferred) < 4 or len(inferred) != len(true):
        return None
    single = inferred.shape[2] == true.shape[2] == 1
    return match_blocks(inferred, true, by="rank" if single else "tree")


def _named(function: Callable[..., Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = inspect.signature(function).parameters
    return {name: value for name, value in values.items() if name in names}


def _checked_site(model: nn.Module, drawn: Collection[str]) -> str:
    site = block_site(model, drawn)
    if site is None:
        raise ConfigError(
            f"Found the latents {dict(axes_of(model))} of {type(model).__name__}, but one whose "
            "last axes are `block` and `latent` is needed."
        )
    return site

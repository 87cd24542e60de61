"""The pictures of models whose latents come in blocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..zoo.datasets import AbstractSplit
from .blocks import (
    HasParts,
    block_images,
    block_site,
    blocks_of,
    matching_of,
    traverse_blocks,
    true_blocks,
)
from .conditioned import drawn_latents
from .metrics.particles import evaluation
from .posterior import predict_mean
from .recombination import recombine
from .run import Run
from .sealed import write_whole

if TYPE_CHECKING:
    import arviz
    from matplotlib.figure import Figure

__all__ = ["draw_block_pictures"]

_IMAGES, _MOST, _SIDE = 8, 256, 5
_QUANTILES = (0.02, 0.18, 0.34, 0.5, 0.66, 0.82, 0.98)


def draw_block_pictures(
    run: Run, split: AbstractSplit, idata: arviz.InferenceData, folder: Path, *, seed: int
) -> None:
    """Draw what a model with blocks of latents, the data and their truth offer, as PNG files.

    Args:
        run: The run.
        split: Held-out sequences.
        idata: The posterior of the same sequences.
        folder: Where the files go.
        seed: Of the guide's draws.
    """
    probability = _probabilities(idata)
    if probability is not None:
        from .plots import plot_presence

        shown = range(min(len(probability), _IMAGES - 2))
        _save(plot_presence(probability, sequences=shown), folder / "presence.png")
    images = split.batch(torch.arange(min(_MOST, len(split))))["images"]
    with evaluation(run.model, run.guide, seed=seed):
        drawn = drawn_latents(run.model, run.guide, {"images": images[:1]})
    if block_site(run.model, drawn) is None:
        return
    if isinstance(run.model, HasParts):
        _save(_parts(run, images, probability is not None, seed), folder / "parts.png")
    _save(_traversals(run, images, seed), folder / "blocks.png")
    matching, inferred, true = matching_of(idata), blocks_of(idata), true_blocks(idata)
    if matching is None or inferred is None or true is None:
        return
    from .plots import plot_matching

    _save(plot_matching(inferred, true, matching), folder / "matching.png")
    if true.shape[1:] == (2, 1) == inferred.shape[1:] and images.shape[1] == 1:
        order = np.argsort(matching.block_of_truth)
        _save(_support(run, images, true[: len(images), :, 0], order, seed), folder / "support.png")


def _probabilities(idata: arviz.InferenceData) -> np.ndarray | None:
    """Return the probability of each block in each frame, from a site of zeros and ones."""
    for variable in idata["posterior"].data_vars.values():
        if variable.dims[-1] == "block":
            drawn = variable.to_numpy()
            if np.isin(drawn, (0, 1)).all():
                mean: np.ndarray = drawn.mean((0, 1)).reshape(-1, drawn.shape[-1])
                return mean
    return None


def _parts(run: Run, images: Tensor, spikes: bool, seed: int) -> Figure:
    from .plots import plot_parts

    parts = block_images(run.model, run.guide, images, seed=seed)
    made = predict_mean(run.model, run.guide, {"images": images}, seed=seed)
    some = slice(None, min(_IMAGES, len(images)))
    constants = parts.mean((0, 1))
    return plot_parts(
        images[some, 0],
        made[some, 0].clamp(0, 1),
        parts[some, 0],
        constants=torch.zeros_like(constants) if spikes else constants,
    )


def _traversals(run: Run, images: Tensor, seed: int) -> Figure:
    from .plots import plot_strips

    frames = traverse_blocks(run.model, run.guide, images, quantiles=_QUANTILES, seed=seed)
    rows = {
        f"block {block}" if frames.shape[1] == 1 else f"block {block}, latent {latent}": strip
        for block, strips in enumerate(frames)
        for latent, strip in enumerate(strips)
    }
    names = [f"{100 * quantile:g} %" for quantile in _QUANTILES]
    return plot_strips(rows, title="One latent at its quantiles, all else as it is", columns=names)


def _support(run: Run, images: Tensor, true: np.ndarray, order: np.ndarray, seed: int) -> Figure:
    """Draw pictures of a grid of true coordinates, each block from the datum that is nearest."""
    from .plots import plot_support

    sides = [np.quantile(each, np.linspace(0.02, 0.98, _SIDE)) for each in true.T]
    grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    nearest = np.abs(true[None] - grid[:, None]).argmin(1)
    donors = [{"images": images[nearest[:, truth]]} for truth in order]
    made = recombine(run.model, run.guide, donors, seed=seed)[:, 0]
    places = np.take_along_axis(true, nearest, 0)
    return plot_support(true, places, made, names=("first object", "second object"))


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda beside: figure.savefig(beside, format="png"))

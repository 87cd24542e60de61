"""Latents of blocks beside the true coordinates that they are matched to."""

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from ..metrics.blocks import RANDOM_ROTATION, BlockMatching
from .style import COLOURS, new_figure, styled

__all__ = ["plot_matching"]

_AXES = ("datum", "block", "latent")
_MOST = 2000  # points of a panel
_INCHES = 1.5


@styled
def plot_matching(
    inferred: Shaped[Array, "..."], true: Shaped[Array, "..."], matching: BlockMatching
) -> Figure:
    """Draw each latent of each block against every true coordinate; matched blocks in colour.

    Args:
        inferred: Latents of each datum, (datum, block, latent).
        true: True ones, likewise.
        matching: What `match_blocks` returned for them.

    Raises:
        DataError: Shapes do not fit, or a number is not finite.
    """
    found, known = checked(inferred, "inferred latents", _AXES), checked(true, "true", _AXES)
    if len(found) != len(known) or matching.scores.shape != (known.shape[1], found.shape[1]):
        raise DataError(
            f"Found latents {found.shape}, true ones {known.shape} and scores "
            f"{matching.scores.shape}. Give the match of these very latents."
        )
    rows, columns = _indices(found), _indices(known)
    figure = new_figure(_INCHES * len(columns) + 0.6, _INCHES * len(rows) + 1.0)
    grid = figure.subplots(len(rows), len(columns), sharex="col", sharey="row", squeeze=False)
    some = slice(None, None, -(-len(found) // _MOST))
    for (row, (block, latent)), (column, (truth, coordinate)) in (
        (a, b) for a in enumerate(rows) for b in enumerate(columns)
    ):
        axes = grid[row, column]
        match = matching.block_of_truth[truth] == block
        colour = COLOURS[truth % len(COLOURS)] if match else "#999999"
        points = known[some, truth, coordinate], found[some, block, latent]
        axes.plot(*points, ".", color=colour, markersize=1.5, rasterized=True)
        if latent == 0 and coordinate == 0:
            axes.set_title(f"{matching.scores[truth, block]:.2f}", loc="right", color=colour)
        if column == 0:
            axes.set_ylabel(_named("block", block, latent, found.shape[2]))
        if row == len(rows) - 1:
            axes.set_xlabel(_named("true", truth, coordinate, known.shape[2]))
    figure.suptitle(f"Latent matching score {matching.score:.3f}\n({RANDOM_ROTATION})", fontsize=8)
    return figure


def _indices(latents: np.ndarray) -> list[tuple[int, int]]:
    return [(block, latent) for block, latent in np.ndindex(*latents.shape[1:])]


def _named(what: str, block: int, latent: int, size: int) -> str:
    return f"{what} {block}" if size == 1 else f"{what} {block}, {latent}"

"""Which fields move when, below which factors truly move."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from .style import checked_sequences, group, new_figure, styled

if TYPE_CHECKING:
    import arviz

__all__ = ["plot_activity"]


@styled
def plot_activity(
    idata: "arviz.InferenceData", *, sequences: Sequence[int] = (0, 1, 2), variable: str = "spike"
) -> Figure:
    """Draw the posterior probability that each field moves, and above it the true activity.

    Args:
        idata: A posterior; the truth is drawn where `constant_data` has it.
        sequences: Which sequences; one column each.
        variable: Name of the spikes.

    Raises:
        ConfigError: A sequence does not exist.
        DataError: There are no spikes.
    """
    probability = group(idata, "posterior", variable).mean(("chain", "draw"))
    panels = [("inferred", probability)]
    if "constant_data" in idata and variable in idata["constant_data"]:
        panels.insert(0, ("true", idata["constant_data"][variable]))
    columns = checked_sequences(sequences, probability.shape[0])
    heights = [values.shape[-1] for _, values in panels]
    figure = new_figure(1.6 + 1.9 * len(columns), 1.2 + 0.24 * sum(heights))
    grid = figure.subplots(
        len(panels), len(columns), sharex=True, squeeze=False, height_ratios=heights
    )
    for row, (title, values) in enumerate(panels):
        names = [str(name) for name in values[values.dims[-1]].values]
        for column, sequence in enumerate(columns):
            cells = np.asarray(values.values[sequence], dtype=float).T
            mesh = _draw_raster(grid[row, column], cells, names if column == 0 else [])
        grid[row, 0].set_ylabel(title)
    figure.align_ylabels(grid[:, 0])
    for column, sequence in enumerate(columns):
        grid[0, column].set_title(f"sequence {sequence}")
        grid[-1, column].set_xlabel("frame")
    bar = figure.colorbar(mesh, ax=grid, shrink=0.8, aspect=18, ticks=(0, 0.5, 1))
    bar.set_label("probability that it moves")
    bar.outline.set_visible(False)
    figure.suptitle("What moves when")
    return figure


def _draw_raster(axes: Axes, cells: Float[np.ndarray, "field time"], names: list[str]) -> QuadMesh:
    count, times = cells.shape
    mesh = axes.pcolormesh(
        np.arange(times + 1),
        np.arange(count + 1),
        cells,
        cmap="Blues",
        vmin=0,
        vmax=1,
        edgecolors="white",
        linewidth=0.8,
    )
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return mesh

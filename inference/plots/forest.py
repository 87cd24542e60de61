"""Every speed of a sequence with its intervals, a row for each transition."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from .style import COLOURS, checked_sequences, ends_of, new_figure, styled

if TYPE_CHECKING:
    import xarray

__all__ = ["plot_forest"]

_INTERVALS = ((0.05, 0.95, 1.2, "90% interval"), (0.25, 0.75, 3.6, "50% interval"))


@styled
def plot_forest(
    speeds: "Float[xarray.DataArray, 'chain draw sequence time field']", *, sequence: int = 0
) -> Figure:
    """Draw median and central intervals of the speed of each field in each transition.

    Axes hold the speeds of all sequences, so that figures of several can be compared.

    Args:
        speeds: Draws, such as `idata["posterior"]["speed"]` or what `SpeedUnits.convert` returned.
        sequence: Which sequence.

    Raises:
        ConfigError: The sequence does not exist.
        DataError: The draws have other axes.
    """
    if speeds.ndim != 5:
        raise DataError(
            f"Found axes {speeds.dims}, but those of draws of speeds are needed: chain, draw, "
            "sequence, time and field."
        )
    checked_sequences([sequence], speeds.shape[2])
    draws = speeds.transpose("chain", "draw", ...).values
    draws = draws.reshape(-1, *draws.shape[2:])
    labels = speeds[speeds.dims[-1]].values
    units = speeds["unit"].values if "unit" in speeds.coords else [""] * len(labels)
    figure = new_figure(0.8 + 1.7 * len(labels), 1.3 + 0.2 * draws.shape[2])
    alike = "unit" not in speeds.coords
    grid = figure.subplots(1, len(labels), sharex=alike, sharey=True, squeeze=False)[0]
    for index, (axes, label, unit) in enumerate(zip(grid, labels, units, strict=True)):
        _draw_rows(axes, draws[:, sequence, :, index])
        axes.set_xlim(*ends_of(draws[..., slice(None) if alike else index]))
        axes.set_title(str(label))
        axes.set_xlabel(f"{unit} per frame" if unit else "speed")
    grid[0].set_ylabel("frame")
    grid[0].set_yticks(range(draws.shape[2]))
    grid[0].invert_yaxis()
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    figure.suptitle(f"Speeds in sequence {sequence}")
    return figure


def _draw_rows(axes: Axes, draws: Float[np.ndarray, "draw time"]) -> None:
    rows = np.arange(draws.shape[1])
    axes.axvline(0, color="#BBBBBB", linewidth=0.6, zorder=0)
    for low, high, width, name in _INTERVALS:
        ends = np.quantile(draws, (low, high), axis=0)
        axes.hlines(rows, *ends, color=COLOURS[0], linewidth=width, label=name)
    axes.plot(
        np.median(draws, axis=0),
        rows,
        "o",
        color="white",
        markeredgecolor=COLOURS[0],
        markersize=4.5,
        label="median",
    )
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)

"""Speeds of fields against each other: how fast each is, and which move together."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import checked
from .style import COLOURS, ends_of, new_figure, styled

if TYPE_CHECKING:
    import xarray

__all__ = ["plot_pairs"]

_POINTS = 2000
_BINS = 30


@styled
def plot_pairs(speeds: "Float[xarray.DataArray, '*draws field']", *, seed: int = 0) -> Figure:
    """Draw the speeds of all pairs of fields, and on the diagonal those of one where it moves.

    All draws, sequences and transitions are taken together: first pick some by `isel` to see the
    posterior of these alone. Points are 2000 of them; numbers are of all.

    Args:
        speeds: Draws, such as `idata["posterior"]["speed"]` or what `SpeedUnits.convert` returned;
            last axis the fields.
        seed: Of which points are shown.

    Raises:
        DataError: There are fewer than two fields, or a number is not finite.
    """
    values = checked(speeds.values, "speeds", ("...", "field"))
    count = values.shape[-1]
    if count < 2:
        raise DataError("Found one field, but at least two are needed to draw a pair.")
    values = values.reshape(-1, count)
    rng = np.random.default_rng(seed)
    points = values[rng.permutation(len(values))[:_POINTS]]
    units = speeds["unit"].values if "unit" in speeds.coords else [""] * count
    names = [
        f"{label}\n({unit} per frame)" if unit else str(label)
        for label, unit in zip(speeds[speeds.dims[-1]].values, units, strict=True)
    ]
    figure = new_figure(0.6 + 1.35 * count, 0.7 + 1.35 * count)
    grid = figure.subplots(count, count, sharex="col", squeeze=False)
    ends = [ends_of(each) for each in values.T]
    style = {"color": COLOURS[0], "markersize": 1.5, "alpha": 0.4}
    for (row, column), axes in zip(np.ndindex(count, count), grid.flat, strict=True):
        if row == column:
            _draw_alone(axes, values[:, row])
            axes.set_xlim(*ends[column])
        elif row > column:
            axes.plot(points[:, column], points[:, row], ".", **style)
            axes.set_ylim(*ends[row])
        else:
            _write_together(axes, values[:, row], values[:, column])
        if row == count - 1:
            axes.set_xlabel(names[column])
        if column == 0 and row > 0:
            axes.set_ylabel(names[row])
        elif column > 0:
            axes.tick_params(axis="y", labelleft=False)
    figure.align_labels()
    figure.suptitle("Speeds of pairs of fields")
    return figure


def _draw_alone(axes: Axes, speed: Float[np.ndarray, " sample"]) -> None:
    moving = speed[speed != 0]
    axes.hist(moving, bins=_BINS, color=COLOURS[0], alpha=0.5)
    axes.set_title(f"moves in {len(moving) / len(speed):.0%}", fontsize=7)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])


def _write_together(
    axes: Axes, one: Float[np.ndarray, " sample"], other: Float[np.ndarray, " sample"]
) -> None:
    both = (one != 0) & (other != 0)
    text = f"both move\nin {both.mean():.0%}"
    if both.sum() > 2:
        text += f"\nr = {np.corrcoef(one[both], other[both])[0, 1]:z.2f}"
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, fontsize=7)
    axes.set_axis_off()

"""The look that all figures share; no global state of matplotlib is read or changed."""

import functools
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = [
    "COLOURS",
    "TRUTH",
    "checked_sequences",
    "ends_of",
    "group",
    "label_ends",
    "new_figure",
    "styled",
]

_Parameters = ParamSpec("_Parameters")

# Okabe and Ito's palette, which remains distinct under all common kinds of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
TRUTH = "#222222"
_LINE_INCHES = 0.15
_SHOWN = (0.001, 0.999)  # quantiles of speeds between which axes reach
_SETTINGS: dict[Any, Any] = {
    "axes.grid": False,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.titlesize": 10,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}


def styled(function: Callable[_Parameters, Figure]) -> Callable[_Parameters, Figure]:
    """Draw a figure in the style of this package, whatever the user's settings are."""

    @functools.wraps(function)
    def draw(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)
            return function(*args, **kwargs)

    return draw


class ShownFigure(Figure):
    """A figure that notebooks show as a picture, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches."""
    return ShownFigure(figsize=(width, height), dpi=150, layout="constrained")


def group(idata: "arviz.InferenceData", name: str, variable: str) -> "xarray.DataArray":
    """Return a variable of a group.

    Raises:
        DataError: There is none.
    """
    if name not in idata or variable not in idata[name]:
        raise DataError(
            f"Found no {variable!r} in the group {name!r}, which this figure shows. Draw the "
            "posterior of a split that has it."
        )
    return idata[name][variable]


def checked_sequences(sequences: Sequence[int], count: int) -> list[int]:
    """Return which sequences to show.

    Raises:
        ConfigError: None were asked for, or one is outside of 0 to `count` - 1.
    """
    if len(sequences) == 0 or min(sequences) < 0 or max(sequences) >= count:
        raise ConfigError(
            f"Found sequences={list(sequences)}, but one or more from 0 to {count - 1} are needed."
        )
    return list(sequences)


def ends_of(speeds: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Return from where to where an axis shows nearly all speeds, and zero."""
    low, high = np.quantile(speeds, _SHOWN)
    low, high = min(0.0, float(low)), max(0.0, float(high))
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


def label_ends(axes: Axes, lines: Sequence[Line2D], height: float) -> None:
    """Write the label of each line beside its end, in its colour, no two on top of each other.

    Args:
        axes: Where the lines are; their limits are final.
        lines: The lines.
        height: Height of the axes, in inches.
    """
    bottom, top = axes.get_ylim()
    apart = (top - bottom) * _LINE_INCHES / height
    ends = np.clip([float(np.asarray(line.get_ydata())[-1]) for line in lines], bottom, top)
    order = np.argsort(ends)
    for index, y in zip(order, _spread(ends[order], apart), strict=True):
        axes.annotate(
            str(lines[index].get_label()),
            (axes.get_xlim()[1], y),
            xytext=(4, 0),
            textcoords="offset points",
            color=lines[index].get_color(),
            va="center",
            annotation_clip=False,
        )


def _spread(ascending: Float[np.ndarray, " label"], apart: float) -> Float[np.ndarray, " label"]:
    """Move numbers as little as keeps them `apart`: the mean of pushing up and pushing down."""
    up, down = ascending.copy(), ascending.copy()
    for index in range(1, len(ascending)):
        up[index] = max(up[index], up[index - 1] + apart)
        down[-index - 1] = min(down[-index - 1], down[-index] - apart)
    return (up + down) / 2

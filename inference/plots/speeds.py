"""Speeds over time: what the guide infers, with its doubt, against the truth."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics.matching import Matching
from ..units import SpeedUnits
from .speed_panels import converted_panels, scaled_panels
from .style import COLOURS, TRUTH, checked_sequences, new_figure, styled

if TYPE_CHECKING:
    import arviz

__all__ = ["plot_speeds"]

_BANDS = ((0.05, 0.95, 0.22, "90% credible interval"), (0.25, 0.75, 0.45, "50% credible interval"))


@styled
def plot_speeds(
    idata: "arviz.InferenceData",
    *,
    sequences: Sequence[int] = (0, 1, 2),
    variable: str = "speed",
    matching: Matching | None = None,
    units: SpeedUnits | None = None,
) -> Figure:
    """Draw the speed of the field matched to each factor, against the true speed if it is known.

    Fields have units of their own: each is multiplied by the number that fits the truth best over
    all sequences (least squares), which its axis names. `units` do better: they bend, they doubt
    what the labels leave open, and need no truth of what is drawn.

    Args:
        idata: A posterior; without `units` its truth must be in `constant_data`.
        sequences: Which sequences; one row each.
        variable: Name of the speeds, in both groups; not used with `units`.
        matching: Which field is which factor; found from all sequences when None, and not used with
            `units`.
        units: What takes speeds to the units of the world.

    Raises:
        ConfigError: A sequence does not exist.
        DataError: The posterior or the truth is missing.
    """
    if units is None:
        panels = scaled_panels(idata, variable, matching)
    else:
        panels = converted_panels(idata, units)
    shape = next(each.shape for panel in panels for each in panel[:1:-1] if each is not None)
    rows = checked_sequences(sequences, shape[-2])
    figure = new_figure(1.2 + 2.9 * len(panels), 1.1 + 1.35 * len(rows))
    grid = figure.subplots(len(rows), len(panels), sharex=True, sharey="col", squeeze=False)
    for column, panel in zip(grid.T, panels, strict=True):
        for axes, sequence in zip(column, rows, strict=True):
            axes.axhline(0, color="#BBBBBB", linewidth=0.6, zorder=0)
            if panel.draws is not None:
                _draw_bands(axes, panel.draws[:, sequence])
            if panel.truth is not None:
                _draw_steps(axes, panel.truth[sequence], TRUTH, "true")
        column[0].set_title(panel.title)
        column[len(rows) // 2].set_ylabel(panel.unit)
        column[-1].set_xlabel("frame")
    for axes, sequence in zip(grid[:, -1], rows, strict=True):
        _name_row(axes, f"sequence {sequence}")
    _add_legend(figure, grid[0], columns=4 if len(panels) > 1 else 2)
    known = any(panel.truth is not None for panel in panels)
    figure.suptitle(f"Speeds of matched fields{' against the truth' if known else ''}")
    return figure


def _add_legend(figure: Figure, panels: Iterable[Axes], *, columns: int) -> None:
    named: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend([*named.values()], [*named], loc="outside lower center", ncols=columns)


def _draw_bands(axes: Axes, draws: Float[np.ndarray, "draw time"]) -> None:
    edges = np.arange(draws.shape[1] + 1)
    for low, high, alpha, label in _BANDS:
        lower, upper = np.quantile(draws, (low, high), axis=0)
        axes.fill_between(
            edges,
            np.append(lower, lower[-1]),
            np.append(upper, upper[-1]),
            step="post",
            color=COLOURS[0],
            alpha=alpha,
            linewidth=0,
            label=label,
        )
    _draw_steps(axes, np.median(draws, axis=0), COLOURS[0], "inferred median")


def _draw_steps(axes: Axes, speed: Float[np.ndarray, " time"], colour: str, label: str) -> None:
    axes.step(
        np.arange(len(speed) + 1),
        np.append(speed, speed[-1]),
        where="post",
        color=colour,
        label=label,
    )


def _name_row(axes: Axes, name: str) -> None:
    axes.annotate(
        name,
        (1.02, 0.5),
        xycoords="axes fraction",
        rotation=270,
        va="center",
        ha="left",
        color="#555555",
    )

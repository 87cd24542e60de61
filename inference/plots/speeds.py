"""Speeds over time: what the guide infers, with its doubt, against the truth."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics.matching import Matching, match_fields, sparse_mean
from .style import COLOURS, TRUTH, checked_sequences, group, new_figure, styled

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["plot_speeds"]

_BANDS = ((0.05, 0.95, 0.22, "90% credible interval"), (0.25, 0.75, 0.45, "50% credible interval"))


@styled
def plot_speeds(
    idata: "arviz.InferenceData",
    *,
    sequences: Sequence[int] = (0, 1, 2),
    variable: str = "speed",
    matching: Matching | None = None,
) -> Figure:
    """Draw the speed of the field matched to each factor against the true speed.

    Fields have units of their own: each is multiplied by the number that fits the truth best over
    all sequences (least squares), which its axis names.

    Args:
        idata: A posterior with its truth: `variable` in both `posterior` and `constant_data`.
        sequences: Which sequences; one row each.
        variable: Name of the speeds.
        matching: Which field is which factor; found from all sequences when None.

    Raises:
        ConfigError: A sequence does not exist.
        DataError: The posterior or the truth is missing.
    """
    draws = group(idata, "posterior", variable).stack(sample=("chain", "draw"), create_index=False)
    draws = draws.transpose("sample", ...)
    truth = group(idata, "constant_data", variable)
    if matching is None:
        matching = match_fields(sparse_mean(draws.values), truth.values)
    rows = checked_sequences(sequences, truth.shape[0])
    count = truth.shape[-1]
    figure = new_figure(1.2 + 2.9 * count, 1.1 + 1.35 * len(rows))
    grid = figure.subplots(len(rows), count, sharex=True, sharey="col", squeeze=False)
    for column in range(count):
        field, scale = int(matching.field_of_factor[column]), float(matching.scale[column])
        for axes, sequence in zip(grid[:, column], rows, strict=True):
            axes.axhline(0, color="#BBBBBB", linewidth=0.6, zorder=0)
            if field >= 0:
                _draw_bands(axes, scale * draws.values[:, sequence, :, field])
            _draw_steps(axes, truth.values[sequence, :, column], TRUTH, "true")
        factor, label = _label(truth, column), _label(draws, field) if field >= 0 else "no field"
        grid[0, column].set_title(f"{factor}: {label}, r = {matching.correlation[column]:.2f}")
        unit = f"{_unit(idata, factor)}\n({label} \N{MULTIPLICATION SIGN} {scale:.3g})"
        grid[len(rows) // 2, column].set_ylabel(unit)
        grid[-1, column].set_xlabel("frame")
    for axes, sequence in zip(grid[:, -1], rows, strict=True):
        _name_row(axes, f"sequence {sequence}")
    _add_legend(figure, grid[0], columns=4 if count > 1 else 2)
    figure.suptitle("Speeds of matched fields against the truth")
    return figure


def _label(speeds: "xarray.DataArray", index: int) -> str:
    return str(speeds[speeds.dims[-1]].values[index])


def _add_legend(figure: Figure, panels: Iterable[Axes], *, columns: int) -> None:
    named: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend([*named.values()], [*named], loc="outside lower center", ncols=columns)


def _unit(idata: "arviz.InferenceData", factor: str) -> str:
    units = idata["constant_data"].get("unit")
    name = "" if units is None else str(units.sel(factor=factor).item())
    return f"{name} per frame" if name else "speed"


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

"""The course of training: every term of the ELBO over steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from .style import COLOURS, label_ends, new_figure, styled

__all__ = ["history_columns", "plot_training"]

_PANELS = {
    "elbo": "ELBO",
    "log p(": "Log-likelihood",
    "KL(": "Divergence from the prior",
    "penalty(": "Penalty",
}
_LABELS = {"elbo": "training", "validation elbo": "validation"}
_PANEL_INCHES = 1.45
_SETTLING = 0.05  # the first steps may leave the panel: they would flatten all that follows


@styled
def plot_training(
    history: Mapping[str, Sequence[float]] | Sequence[Mapping[str, float]],
) -> Figure:
    """Draw the ELBO and its terms over training steps, terms of one kind in one panel.

    Args:
        history: Columns by name, or rows of such columns: `step`, `elbo`, `validation elbo`,
            `log p(site)`, `KL(site)`, `penalty(term)`; others are left out.

    Raises:
        DataError: There is no row, no `step` or no term, or columns differ in length.
    """
    columns = history_columns(history)
    steps = columns.pop("step")
    panels = {
        title: {name: values for name, values in columns.items() if part in name}
        for part, title in _PANELS.items()
    }
    panels = {title: terms for title, terms in panels.items() if terms}
    if not panels:
        raise DataError(f"Found columns {sorted(columns)}, but a term of an ELBO is needed.")
    figure = new_figure(6.4, 0.7 + _PANEL_INCHES * len(panels))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, terms) in zip(grid, panels.items(), strict=True):
        _draw_terms(axes, steps, terms)
        axes.set_title(title, loc="left")
        axes.set_ylabel("nats per datum")
    grid[-1].set_xlabel("training step")
    figure.suptitle("Terms of the ELBO during training")
    return figure


def _draw_terms(
    axes: Axes, steps: Float[np.ndarray, " row"], terms: Mapping[str, Float[np.ndarray, " row"]]
) -> None:
    lines, settled = [], []
    for colour, (name, values) in zip(COLOURS * len(terms), terms.items(), strict=False):
        known = np.isfinite(values)
        if known.any():
            lines += axes.plot(
                steps[known], values[known], color=colour, label=_LABELS.get(name, name)
            )
            late = steps >= steps[0] + _SETTLING * (steps[-1] - steps[0])
            settled.append(values[known & late])
    shown = np.concatenate(settled)
    if shown.size:
        margin = 0.06 * (np.ptp(shown) or 1.0)
        axes.set_ylim(shown.min() - margin, shown.max() + margin)
    axes.set_xlim(steps[0], steps[-1] if steps[-1] > steps[0] else steps[0] + 1)
    label_ends(axes, lines, 0.7 * _PANEL_INCHES)


def history_columns(
    history: Mapping[str, Sequence[float]] | Sequence[Mapping[str, float]],
) -> dict[str, Float[np.ndarray, " row"]]:
    """Return the columns of a history, or of its rows.

    Raises:
        DataError: There is no row or no `step`, or columns differ in length.
    """
    if not isinstance(history, Mapping):
        names = dict.fromkeys(name for row in history for name in row)
        history = {name: [row.get(name, np.nan) for row in history] for name in names}
    columns = {name: np.asarray(values, dtype=float) for name, values in history.items()}
    lengths = {len(values) for values in columns.values()}
    if "step" not in columns or len(lengths) != 1 or 0 in lengths:
        raise DataError(
            f"Found columns { ({name: len(v) for name, v in columns.items()}) }, but `step` and "
            "terms with one number for each step are needed."
        )
    return columns

"""Which features tasks read, as tables in colour."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .style import new_figure, styled

__all__ = ["plot_heads"]

_UNIT = 0.26  # inches of a cell
_MOST_NAMES = 40


@styled
def plot_heads(
    weights: Shaped[Array, "task feature"],
    *,
    inclusion: Shaped[Array, "task feature"] | None = None,
    features: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> Figure:
    """Draw the weight of each feature in the head of each task, features most used first.

    Args:
        weights: Such as means of draws.
        inclusion: How probable it is that the weight is not zero; drawn beside.
        features: Names of the features; numbered when None.
        tasks: Names of the tasks; numbered when None.

    Raises:
        DataError: Shapes do not fit, a number is not finite or no probability, or there are too
            many or too few names.
    """
    values = checked(weights, "weights", ("task", "feature"))
    given = None if inclusion is None else checked(inclusion, "inclusion", ("task", "feature"))
    if given is not None and (given.shape != values.shape or given.min() < 0 or given.max() > 1):
        raise DataError(
            f"Found inclusion of shape {given.shape} from {given.min():.3g} to {given.max():.3g}; "
            f"expected probabilities of shape {values.shape}."
        )
    order = np.argsort(-np.abs(values).sum(0), kind="stable")
    columns = [_name(features, k, values.shape[1], "features") for k in order]
    rows = [_name(tasks, k, values.shape[0], "tasks") for k in range(len(values))]
    panels = 1 if given is None else 2
    height = 1.1 + min(_UNIT * len(rows), 6.0)
    figure = new_figure(1.2 + panels * (1.0 + _UNIT * len(columns)), height)
    axes = np.atleast_1d(figure.subplots(1, panels, sharey=True))
    largest = float(np.abs(values).max()) or 1.0
    _table(axes[0], values[:, order], "weight", "PuOr", (-largest, largest))
    if given is not None:
        _table(axes[1], given[:, order], "probability that it is read", "Greys", (0.0, 1.0))
    for each in axes:
        each.set_xticks(range(len(columns)), columns, rotation=90)
        each.set_xlabel("feature")
    every = range(0, len(rows), -(-len(rows) // _MOST_NAMES))
    axes[0].set_yticks(every, [rows[k] for k in every])
    axes[0].set_ylabel("task")
    figure.suptitle("What each task reads")
    return figure


def _name(names: Sequence[str] | None, index: int, count: int, what: str) -> str:
    if names is not None and len(names) != count:
        raise DataError(f"Found {len(names)} names for {count} {what}. Give one for each.")
    return str(index) if names is None else str(names[index])


def _table(
    axes: Axes,
    values: Float[np.ndarray, "task feature"],
    label: str,
    colours: str,
    ends: tuple[float, float],
) -> None:
    image = axes.imshow(values, cmap=colours, vmin=ends[0], vmax=ends[1], aspect="auto")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure = axes.get_figure()
    if figure is not None:
        bar = figure.colorbar(
            image, ax=axes, aspect=20, shrink=0.8, location="top", ticks=list(ends)
        )
        bar.ax.set_xticklabels([f"{end:.2g}" for end in ends])
        bar.set_label(label)
        bar.outline.set_visible(False)

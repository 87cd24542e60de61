"""How well new tasks are told from few labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .style import COLOURS, label_ends, new_figure, styled

__all__ = ["plot_few_shot"]

_HEIGHT = 2.6


@styled
def plot_few_shot(
    labels: Sequence[int],
    scores: Mapping[str, Shaped[Array, "label_count task"]],
    *,
    score: str = "accuracy",
) -> Figure:
    """Draw the mean score of unseen tasks against the number of labels, one line each.

    Bars are twice the standard error of the mean over tasks.

    Args:
        labels: Numbers of labels, rising.
        scores: By name, of each number of labels and each task.
        score: What it is called.

    Raises:
        DataError: Nothing is given, shapes do not fit, or a number is not finite.
    """
    curves = {n: checked(v, f"scores of {n}", ("labels", "task")) for n, v in scores.items()}
    if not curves or any(len(values) != len(labels) for values in curves.values()):
        raise DataError(
            f"Found scores of {[len(v) for v in curves.values()]} numbers of labels, but "
            f"{len(labels)} such numbers. Give at least one curve, with a score for each."
        )
    figure = new_figure(4.6, _HEIGHT)
    axes = figure.subplots()
    lines = []
    for index, (name, values) in enumerate(curves.items()):
        error = 2 * values.std(1, ddof=min(1, values.shape[1] - 1)) / np.sqrt(values.shape[1])
        drawn = axes.errorbar(
            labels,
            values.mean(1),
            error,
            color=COLOURS[index % len(COLOURS)],
            marker="o",
            markersize=3,
            capsize=2,
            linestyle=("-", "--", ":")[index // len(COLOURS) % 3],
        )
        line = drawn.lines[0]
        line.set_label(name)
        lines.append(line)
    axes.set(xscale="log", xlabel="labels of a new task", ylabel=score)
    axes.set_xticks(list(labels), [str(k) for k in labels])
    axes.set_xticks([], minor=True)
    label_ends(axes, lines, _HEIGHT - 0.8)
    return figure

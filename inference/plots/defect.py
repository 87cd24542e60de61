"""Where an encoder tears, and how that shows as steps get finer."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from ...zoo.errors import DataError
from ..metrics.defect import TopologicalDefect
from .style import COLOURS, new_figure, styled

__all__ = ["plot_defect"]


@styled
def plot_defect(defects: Mapping[str, TopologicalDefect]) -> Figure:
    """Draw the largest jump of codes over the median one, as a path is cut ever finer.

    Args:
        defects: What `topological_defect` returned, by the name of the code.

    Raises:
        DataError: There is none, or more than there are colours.
    """
    if not 0 < len(defects) <= len(COLOURS):
        raise DataError(f"Found {len(defects)} codes, but 1 to {len(COLOURS)} can be drawn.")
    figure = new_figure(4.6, 2.8)
    axes = figure.subplots()
    lines = []
    for (name, found), colour in zip(defects.items(), COLOURS, strict=False):
        lines += axes.loglog(found.steps, found.ratio, "o-", color=colour, label=name, markersize=3)
    steps = next(iter(defects.values())).steps
    axes.xaxis.set_major_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(steps, [str(count) for count in steps])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("steps of the path through a symmetric shape")
    axes.set_ylabel("largest jump of the code\nover the median jump")
    axes.set_title("A code that tears jumps however fine the steps", loc="left")
    axes.legend(handles=lines, loc="upper left")
    return figure

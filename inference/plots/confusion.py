"""Which element is inferred where which one acted, as a table in grey."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...zoo.errors import DataError
from ..metrics.elements import ElementAccuracy
from .style import COLOURS, new_figure, styled

__all__ = ["plot_confusion"]


@styled
def plot_confusion(found: ElementAccuracy, *, elements: Sequence[str] | None = None) -> Figure:
    """Draw the posterior of the element, averaged over the data in which each one acted.

    Args:
        found: What `element_accuracy` returned.
        elements: Names of the elements; numbered when None.

    Raises:
        DataError: There are too many or too few names.
    """
    size = len(found.confusion)
    names = [str(k) for k in range(size)] if elements is None else list(elements)
    if len(names) != size:
        raise DataError(f"Found {len(names)} names for {size} elements. Give one for each.")
    unit = min(0.3, 6 / size)
    figure = new_figure(2.4 + unit * size, 1.6 + unit * size)
    axes = figure.subplots()
    image = axes.imshow(found.confusion, cmap="Greys", vmin=0, vmax=1)
    for row, column in enumerate(found.relabelling):
        box = (float(column) - 0.5, row - 0.5)
        axes.add_patch(Rectangle(box, 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=1.2))
    every = range(0, size, -(-size // 24))
    shown = [names[k] for k in every]
    axes.set_xticks(every, shown, rotation=90)
    axes.set_yticks(every, shown)
    axes.set_xlabel("inferred")
    axes.set_ylabel("acted")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ticks=(0, 1), aspect=12, shrink=0.6)
    bar.set_label("mean posterior probability")
    bar.outline.set_visible(False)
    axes.set_title(
        f"Accuracy {found.accuracy:.2f} up to relabelling\n(boxes: the automorphism that fits best)"
    )
    return figure

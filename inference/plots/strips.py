"""Rows of single images, each with a name."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .frames import draw_strips
from .style import new_figure, styled

__all__ = ["plot_strips"]

_AXES = ("image", "channel", "height", "width")
_INCHES = 0.55  # of an image's longer side


@styled
def plot_strips(
    rows: Mapping[str, Shaped[Array, "..."]], *, title: str, columns: Sequence[str] | None = None
) -> Figure:
    """Draw rows of images on one scale from 0 to 1; what lies outside is cut off.

    Args:
        rows: Images of each row, `(image, channel, height, width)`, 1 or 3 channels, by its name.
        title: What the figure shows.
        columns: Names of the columns; numbered when None.

    Raises:
        DataError: There are no rows, shapes differ, or a number is not finite.
    """
    images = {name: checked(values, name, _AXES) for name, values in rows.items()}
    shapes = {values.shape for values in images.values()}
    if len(shapes) != 1 or next(iter(shapes))[1] not in (1, 3):
        raise DataError(
            f"Found rows of shapes {sorted(shapes)}, but the same one with 1 or 3 channels is "
            "needed."
        )
    count, _, height, width = shapes.pop()
    unit = _INCHES / max(height, width)
    figure = new_figure(count * unit * width + 1.5, len(images) * unit * height + 0.6)
    axes = figure.subplots()
    draw_strips(axes, np.stack([*images.values()]).clip(0, 1), list(images))
    if columns is not None:
        axes.set_xticks(axes.get_xticks(), columns)
    figure.suptitle(title)
    return figure

"""Frames that are made by walking through a group from a single image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .frames import draw_strips
from .style import new_figure, styled

__all__ = ["plot_orbit"]

_AXES = ("element", "channel", "height", "width")
_INCHES = 0.6  # of a frame's longer side


@styled
def plot_orbit(
    strips: dict[str, Shaped[Array, "..."]], *, elements: Sequence[str] | None = None
) -> Figure:
    """Draw rows of images, a column for each element of a group.

    Args:
        strips: Images by the name of their row, `(element, channel, height, width)` in [0, 1]:
            the truth, say, and what one model or another makes of a single image.
        elements: Names of the elements; numbered when None.

    Raises:
        DataError: Shapes differ, a number is not finite, or there are 2 or more than 3 channels.
    """
    rows = {name: checked(images, name, _AXES) for name, images in strips.items()}
    shapes = {name: images.shape for name, images in rows.items()}
    shape = next(iter(shapes.values()), (0, 0, 0, 0))
    names = [str(k) for k in range(shape[0])] if elements is None else list(elements)
    if len(set(shapes.values())) != 1 or shape[1] not in (1, 3) or len(names) != shape[0]:
        raise DataError(
            f"Found shapes {shapes} and {len(names)} names of elements; expected rows of one shape "
            f"({', '.join(_AXES)}) with 1 or 3 channels, and a name for each element."
        )
    unit = _INCHES / max(shape[2:])
    longest = max(map(len, names))
    figure = new_figure(
        shape[0] * unit * shape[3] + 1.2, len(rows) * unit * shape[2] + 0.45 + 0.06 * longest
    )
    axes = figure.subplots()
    draw_strips(axes, np.stack(list(rows.values())), list(rows))
    axes.set_xticks(axes.get_xticks(), names, rotation=90 if longest > 3 else 0)
    axes.set_title("One image, carried by each element of the group", loc="left")
    return figure

"""What each field does by itself: frames at chosen speeds."""

from collections.abc import Sequence

from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .frames import draw_strips
from .style import new_figure, styled

__all__ = ["plot_traversals"]

_AXES = ("field", "speed", "frame", "channel", "height", "width")
_INCHES = 0.45  # of a frame's longer side


@styled
def plot_traversals(
    frames: Shaped[Array, "..."],
    speeds: Sequence[float],
    *,
    fields: Sequence[str] | None = None,
) -> Figure:
    """Draw the frames that each field leads to, a row for each speed.

    Args:
        frames: Frames of one sequence, `(field, speed, frame, channel, height, width)` in [0, 1];
            1 or 3 channels. Such as those of a sequence of `traverse`.
        speeds: The speeds.
        fields: Names of the fields; numbered when None.

    Raises:
        DataError: Shapes do not fit, a number is not finite, or there are 2 or more than 3
            channels.
    """
    images = checked(frames, "frames", _AXES)
    names = [f"field {k}" for k in range(len(images))] if fields is None else list(fields)
    if images.shape[:2] != (len(names), len(speeds)) or images.shape[3] not in (1, 3):
        raise DataError(
            f"Found frames of shape {images.shape}, {len(speeds)} speeds and {len(names)} names of "
            f"fields, but ({', '.join(_AXES)}) with 1 or 3 channels, a speed and a name each are "
            "needed."
        )
    unit = _INCHES / max(images.shape[4:])
    width, height = images.shape[2] * unit * images.shape[5], len(speeds) * unit * images.shape[4]
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(columns * (width + 0.55), rows * (height + 0.5) + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name, strips in zip(grid.flat, names, images, strict=False):
        draw_strips(axes, strips, [f"{speed:g}".replace("-", "\N{MINUS SIGN}") for speed in speeds])
        axes.set_title(name, loc="left")
    for axes in grid[:, 0]:
        axes.set_ylabel("speed")
    for axes in grid.T.flat[rows - 1 :: rows]:
        axes.set_xlabel("frame")
    figure.suptitle("What each field does by itself")
    return figure

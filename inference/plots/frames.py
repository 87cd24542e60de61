"""Frames side by side: seen, reconstructed, and forecast."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .style import checked_sequences, new_figure, styled

__all__ = ["draw_strips", "plot_frames"]

_AXES = ("sequence", "frame", "channel", "height", "width")
_INCHES = 0.62  # of a frame's longer side
_LEAST_WIDTH = 3.0  # room for the title


@styled
def plot_frames(
    seen: Shaped[Array, "..."],
    reconstructed: Shaped[Array, "..."],
    forecast: Shaped[Array, "..."] | None = None,
    *,
    seen_frames: int = 0,
    sequences: Sequence[int] = (0, 1, 2),
) -> Figure:
    """Draw frames of a few sequences, one row for what was seen and one for each prediction.

    Sequences of a single frame are side by side.

    Args:
        seen: Frames, `(sequence, frame, channel, height, width)` in [0, 1]; 1 or 3 channels.
        reconstructed: What the model makes of them, of the same shape.
        forecast: What the model expects after the first `seen_frames`, of the same shape; None
            leaves the row out.
        seen_frames: How many frames the forecast was made from; the row starts after them.
        sequences: Which sequences.

    Raises:
        ConfigError: A sequence does not exist.
        DataError: Shapes differ, a number is not finite, or there are 2 or more than 3 channels.
    """
    named = {"seen": seen, "reconstructed": reconstructed}
    if forecast is not None:
        named[f"forecast from {seen_frames}"] = forecast
    images = {name: checked(values, name, _AXES) for name, values in named.items()}
    shapes = {name: values.shape for name, values in images.items()}
    shape = shapes["seen"]
    if len(set(shapes.values())) > 1 or shape[2] not in (1, 3):
        raise DataError(f"Found shapes {shapes}, but the same one with 1 or 3 channels is needed.")
    rows = checked_sequences(sequences, shape[0])
    if shape[1] == 1:
        return _of_stills(images, rows)
    unit = _INCHES / max(shape[3:])
    width, height = (shape[1] * unit * shape[4], len(images) * unit * shape[3])
    figure = new_figure(width + 1.15, len(rows) * (height + 0.3) + 0.55)
    for index, axes in enumerate(figure.subplots(len(rows), 1, squeeze=False)[:, 0]):
        strips = np.stack([values[rows[index]] for values in images.values()])
        strips[2:, :seen_frames] = 1.0
        draw_strips(axes, strips, list(images))
        axes.set_title(f"sequence {rows[index]}", loc="left")
    axes.set_xlabel("frame")
    figure.suptitle("Frames seen and predicted")
    return figure


def _of_stills(images: Mapping[str, Float[np.ndarray, "..."]], chosen: list[int]) -> Figure:
    """Draw single frames of a few data side by side."""
    strips = np.stack([values[chosen, 0] for values in images.values()])
    unit = _INCHES / max(strips.shape[-2:])
    rows, columns, _, height, width = strips.shape
    inches = columns * unit * width + 1.15, rows * unit * height + 0.85
    figure = new_figure(max(inches[0], _LEAST_WIDTH), inches[1])
    axes = figure.subplots()
    draw_strips(axes, strips, list(images))
    axes.set_xticks(axes.get_xticks(), [str(each) for each in chosen])
    axes.set_xlabel("datum")
    figure.suptitle("Images seen and reconstructed")
    return figure


def draw_strips(
    axes: Axes, strips: Float[np.ndarray, "row frame channel height width"], names: list[str]
) -> None:
    """Draw rows of frames, each with its name; grey where they have one channel."""
    rows, frames, channels, height, width = strips.shape
    gap = max(1, round(0.06 * max(height, width)))
    canvas = np.ones((rows * (height + gap) - gap, frames * (width + gap) - gap, channels))
    for row, frame in np.ndindex(rows, frames):
        top, left = row * (height + gap), frame * (width + gap)
        canvas[top : top + height, left : left + width] = strips[row, frame].transpose(1, 2, 0)
    canvas = np.clip(canvas, 0, 1)
    if channels == 1:
        axes.imshow(canvas[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(canvas, interpolation="nearest")
    axes.set_xticks(
        np.arange(frames) * (width + gap) + (width - 1) / 2, list(map(str, range(frames)))
    )
    axes.set_yticks(np.arange(rows) * (height + gap) + (height - 1) / 2, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)

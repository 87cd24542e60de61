"""What each block adds to a picture."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .frames import draw_strips
from .style import new_figure, styled

__all__ = ["plot_parts"]

_AXES = ("image", "channel", "height", "width")
_CONSTANTS = ("block", *_AXES[1:])
_INCHES = 0.62  # of an image's longer side


@styled
def plot_parts(
    images: Shaped[Array, "..."],
    reconstructed: Shaped[Array, "..."],
    parts: Shaped[Array, "..."],
    *,
    constants: Shaped[Array, "..."] | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw images, their reconstructions, and below what each block adds, grey being nothing.

    Parts of a sum are known up to constants that cancel, so each is shown less one of its own, on
    one scale for all.

    Args:
        images: What was seen, (image, channel, height, width) in [0, 1]; 1 or 3 channels.
        reconstructed: What the model makes of them.
        parts: What each block adds, (image, block, channel, height, width).
        constants: What is taken off each, (block, channel, height, width): zeros for blocks that
            may be absent, whose parts are known. None takes their means over the images.
        names: Names of the blocks; numbered when None.

    Raises:
        DataError: Shapes do not fit, or a number is not finite.
    """
    seen, made = checked(images, "images", _AXES), checked(reconstructed, "reconstructed", _AXES)
    added = checked(parts, "parts", (_AXES[0], "block", *_AXES[1:]))
    less = added.mean(0) if constants is None else checked(constants, "constants", _CONSTANTS)
    names = [f"block {k}" for k in range(added.shape[1])] if names is None else list(names)
    fits = seen.shape == made.shape == (len(added), *added.shape[2:])
    fits = fits and less.shape == added.shape[1:]
    if not fits or seen.shape[1] not in (1, 3) or len(names) != added.shape[1]:
        raise DataError(
            f"Found images {seen.shape}, reconstructed {made.shape}, parts {added.shape}, "
            f"constants {less.shape} and {len(names)} names; expected the same images with 1 or 3 "
            "channels, and a constant and a name for each block."
        )
    added = added - less
    added = 0.5 + 0.5 * added / max(float(np.abs(added).max()), np.finfo(float).tiny)
    rows = np.stack([seen, made, *added.swapaxes(0, 1)])
    unit = _INCHES / max(seen.shape[2:])
    figure = new_figure(
        len(seen) * unit * seen.shape[3] + 1.2, len(rows) * unit * seen.shape[2] + 0.8
    )
    axes = figure.subplots()
    draw_strips(axes, rows, ["seen", "reconstructed", *names])
    axes.set_xlabel("image")
    figure.suptitle(f"What each block adds{' (less a constant)' if less.any() else ''}")
    return figure

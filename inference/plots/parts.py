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
_INCHES = 0.62  # of an image's longer side


@styled
def plot_parts(
    images: Shaped[Array, "..."],
    reconstructed: Shaped[Array, "..."],
    parts: Shaped[Array, "..."],
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw images, their reconstructions, and below what each block adds, grey being nothing.

    Parts of a sum are known up to constants that cancel, so each is shown less its mean over the
    images, on one scale for all.

    Args:
        images: What was seen, (image, channel, height, width) in [0, 1]; 1 or 3 channels.
        reconstructed: What the model makes of them.
        parts: What each block adds, (image, block, channel, height, width).
        names: Names of the blocks; numbered when None.

    Raises:
        DataError: Shapes do not fit, or a number is not finite.
    """
    seen, made = checked(images, "images", _AXES), checked(reconstructed, "reconstructed", _AXES)
    added = checked(parts, "parts", (_AXES[0], "block", *_AXES[1:]))
    names = [f"block {k}" for k in range(added.shape[1])] if names is None else list(names)
    fits = seen.shape == made.shape == (len(added), *added.shape[2:])
    if not fits or seen.shape[1] not in (1, 3) or len(names) != added.shape[1]:
        raise DataError(
            f"Found images {seen.shape}, reconstructed {made.shape}, parts {added.shape} and "
            f"{len(names)} names; expected the same images with 1 or 3 channels, and a name for "
            "each block."
        )
    added = added - added.mean(0)
    added = 0.5 + 0.5 * added / max(float(np.abs(added).max()), np.finfo(float).tiny)
    rows = np.stack([seen, made, *added.swapaxes(0, 1)])
    unit = _INCHES / max(seen.shape[2:])
    figure = new_figure(
        len(seen) * unit * seen.shape[3] + 1.2, len(rows) * unit * seen.shape[2] + 0.8
    )
    axes = figure.subplots()
    draw_strips(axes, rows, ["seen", "reconstructed", *names])
    axes.set_xlabel("image")
    figure.suptitle("What each block adds (less its mean)")
    return figure

"""Where training data lie, which combinations they leave out, and what is made there."""

import numpy as np
from jaxtyping import Shaped
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .style import COLOURS, new_figure, styled

__all__ = ["plot_support"]

_MOST = 2000  # points
_PIXELS = 28  # of a picture, at 72 in an inch
_NEAR = 0.08  # of the range: nearer than this to a training datum, a place is of its support


@styled
def plot_support(
    training: Shaped[Array, "..."],
    places: Shaped[Array, "..."],
    images: Shaped[Array, "..."],
    *,
    names: tuple[str, str] = ("first block", "second block"),
    title: str = "Recombined pictures, where their blocks say",
) -> Figure:
    """Draw the support of two blocks of one coordinate, and on it pictures where they were made.

    Frames of pictures say whether training data lie near.

    Args:
        training: Coordinates of the training data, (datum, 2).
        places: Where pictures were made, (image, 2).
        images: These pictures, (image, channel, height, width) in [0, 1]; 1 or 3 channels.
        names: Names of the two coordinates.
        title: What the figure shows.

    Raises:
        DataError: Shapes do not fit, or a number is not finite.
    """
    seen, where = (
        checked(each, name, ("datum", "coordinate"))
        for each, name in ((training, "training"), (places, "places"))
    )
    pictures = checked(images, "images", ("image", "channel", "height", "width")).clip(0, 1)
    counts = seen.shape[1] == where.shape[1] == 2 and len(where) == len(pictures)
    if not counts or pictures.shape[1] not in (1, 3):
        raise DataError(
            f"Found training data {seen.shape}, places {where.shape} and images {pictures.shape}; "
            "expected two coordinates each, a place for each image, and 1 or 3 channels."
        )
    figure = new_figure(5.0, 5.2)
    axes = figure.subplots()
    some = seen[:: -(-len(seen) // _MOST)]
    axes.plot(*some.T, ".", color=COLOURS[5], markersize=3, label="training data")
    low, high = (
        np.concatenate([seen, where]).min(0),
        np.concatenate([seen, where]).max(0),
    )
    margin = 0.08 * (high - low)
    axes.set(
        xlim=(low[0] - margin[0], high[0] + margin[0]),
        ylim=(low[1] - margin[1], high[1] + margin[1]),
        xlabel=names[0],
        ylabel=names[1],
    )
    nearest = np.abs((where[:, None] - seen[None]) / (high - low)).max(2).min(1)
    for place, picture, far in zip(where, pictures, nearest > _NEAR, strict=True):
        shown = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        zoom = _PIXELS / max(shown.shape[:2])
        box = OffsetImage(shown, zoom=zoom, cmap="gray", norm=Normalize(0, 1), resample=False)
        axes.add_artist(
            AnnotationBbox(
                box,
                (float(place[0]), float(place[1])),
                pad=0.15,
                bboxprops={"edgecolor": COLOURS[1 if far else 0], "linewidth": 1.8},
            )
        )
    for far, label in enumerate(("made where training data lie", "made where none lie")):
        axes.plot([], [], "s", mfc="none", color=COLOURS[far], markersize=4, label=label)
    figure.legend(loc="outside lower center", ncols=3, markerscale=2, columnspacing=1)
    figure.suptitle(title)
    return figure

"""Which block draws which pixel, and whether these regions are the true objects."""

import numpy as np
from jaxtyping import Int, Shaped

from ...zoo.errors import DataError
from .arrays import Array, checked

__all__ = ["foreground_agreement", "owners_of_pixels"]

_LEAST = 0.5  # share of a pixel that objects cover, from which it is foreground


def owners_of_pixels(parts: Shaped[Array, "..."]) -> Int[np.ndarray, "datum height width"]:
    """Return which block adds most to each pixel, by the sum of squares over channels.

    Args:
        parts: What each block adds, (datum, block, channel, height, width).

    Raises:
        DataError: The shape is another, or a number is not finite.
    """
    added = checked(parts, "parts", ("datum", "block", "channel", "height", "width"))
    owners: np.ndarray = (added**2).sum(2).argmax(1)
    return owners


def foreground_agreement(regions: Shaped[Array, "..."], masks: Shaped[Array, "..."]) -> float:
    """Return how well regions agree with objects: their adjusted Rand index, which chance makes 0.

    After Hubert and Arabie 1985. Pixels of the background do not count, and which region is which
    object does not matter. Averaged over the images in which two objects or more are seen, since
    one object agrees with anything or with nothing.

    Args:
        regions: Number of the region of each pixel, (datum, height, width).
        masks: Share of each object in each pixel, (datum, object, height, width); what is left of
            1 is background.

    Raises:
        DataError: Shapes do not fit, a number is not finite, or no image shows two objects.
    """
    from sklearn.metrics import adjusted_rand_score

    found = checked(regions, "regions", ("datum", "height", "width"))
    shares = checked(masks, "masks", ("datum", "object", "height", "width"))
    if len(found) != len(shares) or found.shape[1:] != shares.shape[2:]:
        raise DataError(
            f"Found regions of shape {found.shape} and masks of {shares.shape}. Give those of the "
            "same images."
        )
    known, seen = shares.argmax(1), shares.sum(1) >= _LEAST
    scores = [
        adjusted_rand_score(true[where], each[where])
        for true, each, where in zip(known, found, seen, strict=True)
        if len(np.unique(true[where])) > 1
    ]
    if not scores:
        raise DataError("No image shows two objects or more. Give images that do.")
    return float(np.mean(scores))

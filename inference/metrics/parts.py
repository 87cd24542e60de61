"""Which part of an image is which true one, and how well it looks like it."""

import numpy as np
from jaxtyping import Float, Shaped

from ...zoo.errors import DataError
from .arrays import Array, checked
from .blocks import BlockMatching, matched

__all__ = ["match_parts"]

_IMAGE = ("datum", "block", "channel", "height", "width")


def match_parts(inferred: Shaped[Array, "..."], true: Shaped[Array, "..."]) -> BlockMatching:
    """Match the images that blocks add to a picture with those that its true parts add.

    Parts of a sum are known up to constants that cancel (Lachapelle et al. 2023, see
    `AdditiveDecoder`), so the mean image of each part is taken off first. The score of a pair is
    the share of the variance of the true part that the inferred one explains as it is, without a
    regression; negative ones count as zero.

    Args:
        inferred: Parts of each datum, (datum, block, channel, height, width).
        true: True ones, likewise; there may be more or fewer.

    Raises:
        DataError: Shapes do not fit, a number is not finite, or a true part never changes.
    """
    inferred, true = checked(inferred, "inferred parts", _IMAGE), checked(true, "true", _IMAGE)
    if len(inferred) != len(true) or inferred.shape[2:] != true.shape[2:]:
        raise DataError(
            f"Found parts of shape {inferred.shape} and true ones of {true.shape}. Give those of "
            "the same data, and images of one shape."
        )
    found, known = _centred(inferred), _centred(true)
    variance = (known**2).sum((1, 2))
    if not (variance > 0).all():
        raise DataError(
            f"The true parts {np.flatnonzero(variance == 0).tolist()} are the same for all data: "
            "there is nothing to explain. Give data in which they change."
        )
    errors = np.stack([((known - each) ** 2).sum((1, 2)) for each in found], 1)
    return matched(np.clip(1 - errors / variance[:, None], 0, 1))


def _centred(parts: Float[np.ndarray, "datum block c h w"]) -> Float[np.ndarray, "block datum p"]:
    flat = parts.reshape(*parts.shape[:2], -1).swapaxes(0, 1)
    centred: np.ndarray = flat - flat.mean(1, keepdims=True)
    return centred

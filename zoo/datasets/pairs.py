"""Pairs of images of one's own, as data for training."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import DataError

__all__ = ["pairs_of"]


def pairs_of(
    first: Float[Tensor, "pair channel height width"],
    second: Float[Tensor, "pair channel height width"],
    *,
    transformation: Int[Tensor, " pair"] | None = None,
    first_object: Int[Tensor, " pair"] | None = None,
    second_object: Int[Tensor, " pair"] | None = None,
) -> dict[str, Tensor]:
    """Return pairs of images of yours as data for training.

    Args:
        first: The image before, of each pair, in [0, 1].
        second: The image after.
        transformation: Number of the element that acts in each, where that is known.
        first_object: What the first image of each pair shows, where that is known.
        second_object: What the second shows, which has to be the same.

    Raises:
        DataError: Shapes differ, a number is not finite, or a pair shows two different objects.
    """
    if first.shape != second.shape or first.ndim != 4:
        raise DataError(
            f"Found first images {tuple(first.shape)} and second {tuple(second.shape)}; expected "
            "one shape, (pair, channel, height, width), for both."
        )
    images = torch.stack([first, second], 1)
    if not bool(images.isfinite().all()):
        raise DataError("Found pixels that are NaN or infinite. Repair or drop these pairs.")
    if first_object is not None and second_object is not None:
        different = (first_object != second_object).nonzero().flatten()
        if len(different):
            raise DataError(
                f"Found {len(different)} pairs of different objects, such as pair "
                f"{int(different[0])}; a transformation keeps its object. Drop these pairs."
            )
    known = {} if transformation is None else {"transformation": transformation}
    return {"images": images} | known

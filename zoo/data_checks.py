"""Checks of observed data that models of images share."""

from collections.abc import Mapping, Set

import torch
from torch import Tensor

from .errors import DataError

__all__ = ["check_sequences"]


def check_sequences(
    batch: Mapping[str, Tensor],
    image_shape: tuple[int, int, int],
    *,
    known: Set[str],
    minimum_frames: int = 1,
) -> None:
    """Refuse tensors that are no sequences of images of the shape a model was built for.

    Args:
        batch: What was given; `images` should be `(sequence, frame, channel, height, width)`.
        image_shape: Channels, height and width that the model expects.
        known: Names of all the tensors that the model takes.
        minimum_frames: Least number of frames.

    Raises:
        DataError: A name is missing or unknown, the rank, the shape, the type or the range is
            wrong, or there are too few frames.
    """
    if "images" not in batch or not batch.keys() <= known:
        raise DataError(
            f"Found tensors {sorted(batch)}, but `images` is needed and only {sorted(known)} are "
            "known to this model. Rename or drop the others."
        )
    images = batch["images"]
    shape = tuple(images.shape)
    wanted = f"(sequence, frame, {', '.join(map(str, image_shape))})"
    if images.ndim != 5 or shape[2:] != tuple(image_shape):
        raise DataError(
            f"Found images of shape {shape}, but this model was built for {wanted}. Reshape the "
            "data (channels first), or build the model with their image_shape."
        )
    if shape[1] < minimum_frames:
        raise DataError(
            f"Found sequences of {shape[1]} frame, but at least {minimum_frames} are needed: with "
            "one frame nothing moves."
        )
    if images.dtype not in (torch.float32, torch.float64):
        raise DataError(
            f"Found images of type {images.dtype}, but floats in [0, 1] are needed: divide bytes "
            "by 255."
        )
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        low, high = float(images.min()), float(images.max())
        raise DataError(
            f"Found images with values from {low:.3g} to {high:.3g} (or NaN), but [0, 1] is "
            "needed. Rescale or repair them."
        )

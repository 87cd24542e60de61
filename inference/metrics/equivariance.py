"""How far frames carried along the inferred fields are from the frames that were seen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from ...zoo.errors import DataError
from .arrays import Array, checked

__all__ = ["EquivarianceError", "equivariance_error"]


@dataclass(frozen=True, eq=False)
class EquivarianceError:
    """Absolute errors of pixels in [0, 1], summed over an image, averaged over sequences.

    Attributes:
        per_frame: Error of each frame; frame 0 is a plain reconstruction.
    """

    per_frame: Float[np.ndarray, " frame"]

    @property
    def total(self) -> float:
        """Sum over frames 1 to T: the equivariance error as Song et al. publish it."""
        return float(self.per_frame[1:].sum())

    @property
    def floor(self) -> float:
        """Error of frame 0: what the decoder misses before anything moves."""
        return float(self.per_frame[0])


def equivariance_error(
    images: Shaped[Array, "..."], predicted: Shaped[Array, "..."]
) -> EquivarianceError:
    """Return the L1 error of every frame.

    Like the published figure, it reads the speeds off the very frames that it predicts: it is the
    error of a reconstruction through a few numbers for each transition, not of a forecast.

    Args:
        images: Frames seen, `(sequence, frame, channel, height, width)`, in [0, 1].
        predicted: Frames decoded from latents that were carried from frame 0, of the same shape.

    Raises:
        DataError: Shapes differ, there is one frame only, or a number is not finite.
    """
    axes = ("sequence", "frame", "channel", "height", "width")
    images, predicted = checked(images, "images", axes), checked(predicted, "predicted", axes)
    if images.shape != predicted.shape or images.shape[1] < 2:
        raise DataError(
            f"Found images {images.shape} and predicted {predicted.shape}, but the same shape with "
            "two frames or more is needed."
        )
    return EquivarianceError(np.abs(images - predicted).sum((2, 3, 4)).mean(0))

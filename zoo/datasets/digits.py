"""The handwritten digits that come with scikit-learn: no file and no network needed."""

import torch
from torch.nn import functional

from ..errors import DataError
from .images import Images

__all__ = ["digits"]

CITATION = (
    "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning "
    "Repository, 1998 (CC BY 4.0); as embedded in scikit-learn."
)


def digits(image_size: int = 20, digit_size: int = 11) -> Images:
    """Return the 1797 digits of 8 x 8 pixels, enlarged and centred on a black canvas.

    Args:
        image_size: Height and width of the canvas, in pixels.
        digit_size: Height and width of the enlarged digit. The default leaves room for scaling.

    Returns:
        Grey images with the digit as label.

    Raises:
        DataError: The digit does not fit on the canvas.
    """
    from sklearn.datasets import load_digits

    if not 1 <= digit_size <= image_size:
        raise DataError(
            f"digit_size={digit_size} does not fit on a canvas of image_size={image_size}. "
            "Choose 1 <= digit_size <= image_size."
        )
    bunch = load_digits()
    small = torch.from_numpy(bunch.images).to(torch.float32).unsqueeze(1) / 16
    large = functional.interpolate(
        small, size=digit_size, mode="bicubic", align_corners=False, antialias=digit_size < 8
    ).clamp(0, 1)
    before = (image_size - digit_size) // 2
    after = image_size - digit_size - before
    return Images(
        pixels=functional.pad(large, (before, after, before, after)),
        labels=torch.from_numpy(bunch.target).long(),
        name="digits",
        citation=CITATION,
    )

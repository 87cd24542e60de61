"""Single images with what is known about them, checked once when they enter the package."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..errors import DataError

__all__ = ["Images", "as_tensor", "channels_first", "checked_pixels", "spaced", "to_float"]

CHANNELS = (1, 3)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """A set of single images, channels first.

    Attributes:
        pixels: Grey (one channel) or colour (three channels) images, uint8 in 0..255 or float32
            in [0, 1], shape (image, channel, height, width).
        labels: Classes of each image, shape (image,) or (image, label), or None.
        label_names: What each column of two-dimensional `labels` means.
        name: A short name for records and figures.
        citation: Whom to cite for the images, and their licence.

    Raises:
        DataError: The pixels have the wrong shape, type or range, or the labels do not match.
    """

    pixels: Shaped[Tensor, "image channel height width"]
    labels: Shaped[Tensor, "image *label"] | None = None
    label_names: tuple[str, ...] = ()
    name: str = "images"
    citation: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", checked_pixels(self.pixels, rank=4, name=self.name))
        if self.labels is not None and len(self.labels) != len(self.pixels):
            raise DataError(
                f"{self.name}: {len(self.pixels)} images but {len(self.labels)} labels. "
                "Give one label an image; check that both files belong together."
            )

    @staticmethod
    def from_array(array: np.ndarray | Tensor, name: str = "images") -> "Images":
        """Make images of an array whose layout is one of the three usual ones.

        Args:
            array: Shape (image, height, width), (image, channel, height, width) or
                (image, height, width, channel).
            name: A short name for records and error messages.

        Raises:
            DataError: The array has another rank, type or range.
        """
        pixels = as_tensor(array, name)
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(1)
        return Images(pixels=channels_first(pixels), name=name)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channel, height, width."""
        channel, height, width = self.pixels.shape[1:]
        return channel, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: slice | Tensor) -> "Images":
        labels = None if self.labels is None else self.labels[index]
        return dataclasses.replace(self, pixels=self.pixels[index], labels=labels)

    def spaced(self, limit: int | None) -> "Images":
        """Return at most `limit` of the images, evenly spaced."""
        return self if limit is None else self[spaced(len(self), limit)]

    def joined(self, other: "Images") -> "Images":
        """Return these images followed by the others; both have one shape."""
        pixels = [self.pixels, other.pixels]
        if self.pixels.dtype != other.pixels.dtype:
            pixels = [to_float(part) for part in pixels]
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = torch.cat([self.labels, other.labels])
        return dataclasses.replace(self, pixels=torch.cat(pixels), labels=labels)


def as_tensor(array: np.ndarray | Tensor, name: str) -> Tensor:
    """Return the array as a tensor that shares its memory where it can.

    Raises:
        DataError: The array holds Python objects, text or another type that is not a number.
    """
    if isinstance(array, Tensor):
        return array.detach().cpu()
    array = np.asarray(array)
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise DataError(
            f"{name}: found an array of type {array.dtype}, expected numbers of up to 64 bits. "
            "Stack images of one size to a uint8 or float32 array first."
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not native.flags.writeable or any(stride < 0 for stride in native.strides):
        native = native.copy()
    return torch.from_numpy(native)


def channels_first(pixels: Tensor) -> Tensor:
    """Move the channel axis of (..., height, width, channel) before the height, if it is last."""
    is_last = pixels.ndim >= 4 and pixels.shape[-3] not in CHANNELS and pixels.shape[-1] in CHANNELS
    return pixels.movedim(-1, -3) if is_last else pixels


def checked_pixels(pixels: np.ndarray | Tensor, rank: int, name: str) -> Tensor:
    """Return pixels as uint8 or float32 after checking their shape, type and range.

    Args:
        pixels: Shape (image, channel, height, width), with time after image when rank is 5.
        rank: 4 for images, 5 for sequences of images.
        name: What the error message calls the data.

    Raises:
        DataError: The rank, the number of channels, the type or the range is wrong.
    """
    pixels = as_tensor(pixels, name)
    axes = (
        "image, channel, height, width" if rank == 4 else "sequence, time, channel, height, width"
    )
    found = f"{name}: found shape {tuple(pixels.shape)}"
    if pixels.ndim != rank:
        raise DataError(f"{found}, expected {rank} axes ({axes}). Reshape or transpose the array.")
    if pixels.numel() == 0:
        raise DataError(f"{found}, which holds no pixel. Give at least one image.")
    if pixels.shape[-3] not in CHANNELS:
        raise DataError(
            f"{found}, so {pixels.shape[-3]} channels, expected 1 (grey) or 3 (colour) "
            f"with axes ({axes}). Drop an alpha channel; put the channels before the height."
        )
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * 255
    if pixels.dtype == torch.uint8:
        return pixels
    if not pixels.is_floating_point():
        raise DataError(
            f"{name}: found pixels of type {pixels.dtype}, expected uint8 in 0..255 or floats "
            "in [0, 1]. Convert them first."
        )
    return _checked_floats(pixels.to(torch.float32), name)


def _checked_floats(pixels: Tensor, name: str) -> Tensor:
    low, high = (float(value) for value in pixels.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int((~pixels.isfinite()).sum())
        raise DataError(
            f"{name}: found {count} pixels that are NaN or infinite, expected floats in [0, 1]. "
            "Replace them or drop these images."
        )
    if low < 0 or high > 1:
        raise DataError(
            f"{name}: found pixels from {low:g} to {high:g}, expected floats in [0, 1]. "
            "Divide by the largest value (255 for 8-bit images), or pass uint8."
        )
    return pixels


def to_float(pixels: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return uint8 or float pixels as float32 in [0, 1]."""
    return pixels.to(torch.float32).div_(255) if pixels.dtype == torch.uint8 else pixels


def spaced(count: int, limit: int) -> Int[Tensor, " kept"]:
    """Return `limit` evenly spaced numbers below `count`, or all."""
    kept = min(count, limit)
    return torch.arange(kept) * count // kept

"""Single images, divided into three splits, for models to which nothing moves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import DataError
from .catalogue import PARTED, load_images
from .digits import digits
from .images import Images, to_float
from .sequences import ImageSequences
from .splits import divide

__all__ = ["StillImages", "StillSplit", "open_stills"]

_FRACTIONS = (0.8, 0.05, 0.15)


class StillSplit(Dataset[dict[str, Tensor]]):
    """A part of a set of single images: the tensor `x`, floats in [0, 1].

    Args:
        images: The images of this part.
    """

    truth = None

    def __init__(self, images: Images) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def batch(
        self, indices: Int[Tensor, " batch"] | Sequence[int]
    ) -> dict[str, Float[Tensor, "batch channel height width"]]:
        """Return the images at `indices`."""
        rows = torch.as_tensor(indices, dtype=torch.long)
        return {"x": to_float(self._images.pixels[rows])}

    def __getitem__(self, index: int) -> dict[str, Float[Tensor, "channel height width"]]:
        return {"x": self.batch([index])["x"][0]}

    @property
    def observations(self) -> dict[str, Float[Tensor, "image channel height width"]]:
        """All the tensors of this split."""
        return self.batch(torch.arange(len(self)))

    @property
    def labels(self) -> Tensor | None:
        """The labels of the images, where they have some."""
        return self._images.labels

    def first(self, count: int) -> "StillSplit":
        """Return the first of the images."""
        return StillSplit(self._images[: min(count, len(self))])


class Frames:
    """Single images as sequences of one frame each, called `images`.

    Args:
        split: The images.
    """

    truth = None

    def __init__(self, split: StillSplit) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def batch(
        self, indices: Int[Tensor, " batch"] | Sequence[int]
    ) -> dict[str, Float[Tensor, "batch 1 channel height width"]]:
        """Return the sequences at `indices`."""
        return {"images": self._split.batch(indices)["x"].unsqueeze(1)}


@dataclass(frozen=True)
class FrameSplits:
    """What `StillImages.as_frames` returns: a training and a validation split of sequences."""

    train: Frames
    validation: Frames


class StillImages:
    """Single images in three splits.

    Args:
        images: What to divide.
        seed: Seed of the split.
        test_images: A test part that is known beforehand.

    Raises:
        DataError: There are too few images, or the test images have another shape.
    """

    def __init__(self, images: Images, *, seed: int = 0, test_images: Images | None = None) -> None:
        if test_images is not None and test_images.image_shape != images.image_shape:
            raise DataError(
                f"Found images of {images.image_shape} and test images of "
                f"{test_images.image_shape}. Give both the same shape."
            )
        self.name, self.image_shape = images.name, images.image_shape
        train, validation, test = _FRACTIONS
        shares = _FRACTIONS if test_images is None else (train + test, validation, 0.0)
        parts = divide(len(images), shares, torch.Generator().manual_seed(seed))
        self.train, self.validation = StillSplit(images[parts[0]]), StillSplit(images[parts[1]])
        self.test = StillSplit(images[parts[2]] if test_images is None else test_images)

    def as_frames(self) -> FrameSplits:
        """Return the images as sequences of one frame each, for models of sequences."""
        return FrameSplits(Frames(self.train), Frames(self.validation))

    @classmethod
    def of_frames(cls, sequences: ImageSequences, limit: int | None = None) -> "StillImages":
        """Return the frames of recorded sequences as single images, in the splits of these.

        Args:
            sequences: The sequences; the first frames of all come first.
            limit: Use so many frames, evenly spaced, of each split.
        """
        made = cls.__new__(cls)
        made.name, made.image_shape = sequences.name, sequences.image_shape
        parts = (sequences.train, sequences.validation, sequences.test)
        made.train, made.validation, made.test = (
            StillSplit(
                Images(
                    pixels=sequences.frames[part.rows].transpose(0, 1).flatten(0, 1),
                    name=sequences.name,
                    citation=sequences.citation,
                ).spaced(limit)
            )
            for part in parts
        )
        return made


def open_stills(
    name: str,
    data_dir: str | Path | None = None,
    *,
    seed: int = 0,
    limit: int | None = None,
) -> StillImages:
    """Return single images ready for training.

    Digits have the 8 x 8 pixels that they are published with. The test split of the two MNISTs and
    CelebA is their published one. Of recorded sequences, every frame is an image.

    Args:
        name: As for `load_images`.
        data_dir: As for `load_images`.
        seed: Seed of the split.
        limit: Use so many images, evenly spaced, of each published part.

    Raises:
        DataError: The name is wrong, or files are missing or bad.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: expected 1 or more.")
    if name in PARTED:
        train, test = (PARTED[name](data_dir, part, limit=limit) for part in ("train", "test"))
        return StillImages(train, seed=seed, test_images=test)
    source = digits(8, 8) if name == "digits" else load_images(name, data_dir, seed=seed)
    if isinstance(source, ImageSequences):
        return StillImages.of_frames(source, limit)
    return StillImages(source.spaced(limit), seed=seed)

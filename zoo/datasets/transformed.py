"""Synthetic sequences: images that turn, grow, move and change colour, with the truth kept."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Int
from torch import Generator, Tensor

from ..errors import DataError
from .digits import digits
from .images import Images
from .motion import Motion, check_name
from .splits import divide
from .truth import TransformedSplit, Truth

__all__ = ["TransformOptions", "TransformedDigits", "TransformedImages"]


class TransformOptions(TypedDict, total=False):
    """The keyword options of `TransformedImages`, for functions that hand them on."""

    sequences_per_image: int
    fractions: tuple[float, float, float]
    warp: Literal["once", "accumulate"]
    cyclic: bool
    p_on: float
    p_stay: float
    p_initial: float | None
    reject_all_zero: bool
    one_factor: bool
    speed: tuple[float, float]
    speed_per: Literal["frame", "sequence"]
    slab: Literal["uniform", "laplace"]
    signed: bool
    steps: Mapping[str, float] | None
    start: Mapping[str, tuple[float, float]] | None


class TransformedImages:
    """Sequences of sparsely moving images, split by base image.

    Each sequence takes one image and moves its pose: factors switch on and off by sticky chains
    and have random speeds (see `Motion`). Several factors may be on at once; each frame is one
    warp of the base image. Only poses are stored; frames are drawn when asked for. The same
    arguments give the same data, and the global random state is neither read nor changed.

    Source: Song, Keller, Yue, Perona, Welling, Unsupervised Representation Learning from Sparse
    Transformation Analysis.

    Args:
        images: Images to transform, or an array of them.
        transforms: Factors that move: "rotation", "scale", "hue", "translation_x",
            "translation_y", "brightness". Grey images under "hue" are coloured, starting red.
        length: Number of frames of a sequence.
        seed: Seed of the split and of all motion.
        sequences_per_image: Sequences of each base image, all in that image's split.
        fractions: Shares of base images for training, validation and test.
        test_images: Images for the test split alone; `images` are then divided between training
            and validation in the ratio of their fractions.
        warp: "once" warps the base image to each frame; "accumulate" warps the frame before, as
            the published code does, and blurs.
        cyclic: Translate on a torus: what leaves the canvas on one side enters on the other.
        p_on: See `Motion`, as for all that follow.
        p_stay: Probability that a moving factor goes on.
        p_initial: Probability that a factor moves in the first transition; p_on when None.
        reject_all_zero: Redraw spike vectors in which nothing moves.
        one_factor: Move one factor of each sequence throughout, as in flow-factorized learning.
        speed: Lowest and highest speed in reference steps.
        speed_per: "frame" or "sequence".
        slab: "uniform" or "laplace".
        signed: Draw the direction of each run.
        steps: Reference steps by factor, in the factor's unit per frame.
        start: Ranges of the first pose by factor, in the factor's unit.

    Attributes:
        images: The base images, those of the test split last.
        motion: The law of motion.
        name: Name of the images.
        train: Training split; `validation` and `test` likewise.

    Raises:
        DataError: The images or an option are wrong.
    """

    def __init__(
        self,
        images: Images | np.ndarray | Tensor,
        transforms: Sequence[str] = ("rotation", "scale"),
        length: int = 9,
        seed: int = 0,
        *,
        sequences_per_image: int = 1,
        fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
        test_images: Images | None = None,
        warp: Literal["once", "accumulate"] = "once",
        cyclic: bool = False,
        p_on: float = 0.1,
        p_stay: float = 0.9,
        p_initial: float | None = None,
        reject_all_zero: bool = True,
        one_factor: bool = False,
        speed: tuple[float, float] = (0.5, 1.5),
        speed_per: Literal["frame", "sequence"] = "frame",
        slab: Literal["uniform", "laplace"] = "uniform",
        signed: bool = False,
        steps: Mapping[str, float] | None = None,
        start: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.motion = Motion(
            transforms=(transforms,) if isinstance(transforms, str) else tuple(transforms),
            length=length,
            p_on=p_on,
            p_stay=p_stay,
            p_initial=p_initial,
            reject_all_zero=reject_all_zero,
            one_factor=one_factor,
            speed=speed,
            speed_per=speed_per,
            slab=slab,
            signed=signed,
            steps=dict(steps or {}),
            start=dict(start or {}),
        )
        check_name(warp, ("once", "accumulate"), "warp")
        if cyclic and warp == "accumulate":
            raise DataError('cyclic=True needs warp="once": repeated warps lose what has left.')
        if sequences_per_image < 1:
            raise DataError(f"sequences_per_image={sequences_per_image}: expected 1 or more.")
        images = images if isinstance(images, Images) else Images.from_array(images)
        generator = torch.Generator().manual_seed(seed)
        self.images, parts = _divided(images, test_images, fractions, generator)
        self.train, self.validation, self.test = (
            TransformedSplit(
                self.images,
                Truth.drawn(self.motion, part.repeat_interleave(sequences_per_image), generator),
                warp=warp,
                cyclic=cyclic,
            )
            for part in parts
        )

    @property
    def name(self) -> str:
        """Name of the images."""
        return self.images.name

    @property
    def transforms(self) -> tuple[str, ...]:
        """Names of the factors that move."""
        return self.motion.transforms

    @property
    def units(self) -> dict[str, str]:
        """Unit of the pose of each factor; speeds are per frame."""
        return self.motion.units

    @property
    def length(self) -> int:
        """Number of frames of a sequence, one more than transitions."""
        return self.motion.length

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channel, height, width of a frame."""
        channel, height, width = self.images.image_shape
        return (3 if "hue" in self.transforms else channel), height, width


def _divided(
    images: Images,
    test_images: Images | None,
    fractions: tuple[float, float, float],
    generator: Generator,
) -> tuple[Images, list[Int[Tensor, " part"]]]:
    """Return all base images and the indices of those in each split."""
    if test_images is None:
        return images, divide(len(images), fractions, generator)
    if test_images.image_shape != images.image_shape:
        raise DataError(
            f"Images have shape {images.image_shape} but test images {test_images.image_shape}. "
            "Give both the same channels, height and width."
        )
    rest = fractions[0] + fractions[1]
    if rest <= 0:
        raise DataError(f"fractions={fractions} leave nothing for training and validation.")
    shares = (fractions[0] / rest, fractions[1] / rest)
    parts = divide(len(images), shares, generator)
    test = torch.arange(len(images), len(images) + len(test_images))
    return images.joined(test_images), [*parts, test]


class TransformedDigits(TransformedImages):
    """Sequences of the digits that come with scikit-learn; needs no file and no network.

    Args:
        transforms: Factors that move, as for `TransformedImages`.
        length: Number of frames of a sequence.
        seed: Seed of the split and of all motion.
        image_size: Height and width of a frame, in pixels.
        digit_size: Height and width of the digit on its canvas before it is scaled, in pixels.
        **options: The keyword options of `TransformedImages`.

    Raises:
        DataError: An option is wrong.
    """

    def __init__(
        self,
        transforms: Sequence[str] = ("rotation", "scale"),
        length: int = 9,
        seed: int = 0,
        *,
        image_size: int = 20,
        digit_size: int = 11,
        **options: Unpack[TransformOptions],
    ) -> None:
        super().__init__(digits(image_size, digit_size), transforms, length, seed, **options)

"""Sequences of two balls, each of which moves at a steady speed of its own."""

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ..errors import DataError
from .balls import BallSplit, BallTruth

__all__ = ["BallMotion", "BallSequences", "MovingBallSplit"]

_FACTORS = ("green ball", "red ball")
_COLUMNS = (0.25, 0.75)
_GROUND = 0.85  # of the background, so that noise has room on either side
_SPLITS = {"train": 0, "validation": 1, "test": 2}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BallMotion(BallTruth):
    """Where the balls of each frame are, and how fast they rise; models never see it.

    Attributes:
        speed: Rise of each ball from a frame to the next, in sides of the picture.
        factors: Names of the balls.
        units: Unit of each speed, per frame.
    """

    speed: Float[Tensor, "sequence factor"]
    factors: tuple[str, ...] = _FACTORS
    units: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(_FACTORS, "side")
    )
    dims: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {
            "position": ("sequence", "frame", "ball", "coordinate"),
            "speed": ("sequence", "factor"),
        }
    )


class MovingBallSplit(BallSplit):
    """A part of `BallSequences`: balls on light grey, with noise.

    Attributes:
        truth: Where the balls are, and how fast they rise.
        size: Height and width.
        radius: Of the balls, in sides of the picture.
        noise: What is added to each pixel.
    """

    def __init__(
        self,
        truth: BallMotion,
        noise: Float[Tensor, "sequence frame channel row column"],
        *,
        radius: float,
    ) -> None:
        super().__init__(truth, size=noise.shape[-1], radius=radius)
        self.noise = noise

    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        return (_GROUND + self.parts(indices).sum(-4) + self.noise[indices]).clamp(0, 1)


class BallSequences:
    """Sequences of two balls that stand side by side, and rise or fall at steady speeds.

    The speeds are independent of each other, and no ball's centre leaves the picture. Pixels have
    noise, so that speeds are uncertain; few of them are cut off at 0 or 1.

    Args:
        length: Number of frames.
        fastest: Greatest size of a speed, in sides of the picture per frame.
        noise: Standard deviation of what is added to each pixel.
        size: Height and width.
        radius: Of the balls, in sides of the picture.
        train_size: Number of training sequences.
        test_size: Number of sequences of each of the other splits.
        seed: Of all that is drawn.

    Attributes:
        train: Training split; `validation` and `test` are drawn alike.
        image_shape: Channels, height and width.

    Raises:
        DataError: A number is out of range.
    """

    name = "ball_sequences"
    transforms: tuple[str, ...] = ()
    units: Mapping[str, str] = {}

    def __init__(
        self,
        *,
        length: int = 5,
        fastest: float = 0.15,
        noise: float = 0.05,
        size: int = 12,
        radius: float = 0.4,
        train_size: int = 2000,
        test_size: int = 500,
        seed: int = 0,
    ) -> None:
        _check(length, fastest, noise, size, radius, min(train_size, test_size))
        self.length, self.image_shape = length, (3, size, size)

        def split(name: str, count: int) -> MovingBallSplit:
            generator = torch.Generator().manual_seed(len(_SPLITS) * seed + _SPLITS[name])
            truth = _motion(count, length, fastest, generator)
            pixels = torch.randn(count, length, *self.image_shape, generator=generator)
            return MovingBallSplit(truth, noise * pixels, radius=radius)

        self.train, self.validation = split("train", train_size), split("validation", test_size)
        self.test = split("test", test_size)


def _motion(count: int, length: int, fastest: float, generator: Generator) -> BallMotion:
    """Return speeds, of all that are possible, and heights along which no ball leaves."""
    speed = (2 * torch.rand(count, len(_COLUMNS), generator=generator) - 1) * fastest
    way = speed * (length - 1)
    lowest = (-way).clamp(min=0)
    start = lowest + (1 - way.abs()) * torch.rand(way.shape, generator=generator)
    times = torch.arange(length, dtype=start.dtype)[:, None]
    height = start.unsqueeze(1) + times * speed.unsqueeze(1)
    column = torch.tensor(_COLUMNS).expand_as(height)
    return BallMotion(position=torch.stack([column, height], -1), speed=speed)


def _check(length: int, fastest: float, noise: float, size: int, radius: float, count: int) -> None:
    if length < 2 or size < 4 or count < 1 or not 0 < radius <= 1 or not 0 <= noise < 1:
        raise DataError(
            f"Found length={length}, size={size}, radius={radius}, noise={noise} and {count} "
            "sequences in a split, but at least 2, at least 4, something in (0, 1], something in "
            "[0, 1) and at least 1 are needed."
        )
    if not 0 < fastest * (length - 1) <= 1:
        raise DataError(
            f"Found fastest={fastest}, but at most 1 / {length - 1} and more than 0 is needed: a "
            f"ball would leave the picture within {length} frames."
        )

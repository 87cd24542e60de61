"""Pictures of two balls, exact sums of one picture for each, on supports of several shapes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, TypedDict, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from ..errors import DataError
from .splits import AbstractSplit

__all__ = ["BallOptions", "BallSplit", "BallTruth", "MovingBalls", "hide_balls", "render_balls"]

Support = Literal["square", "l_shape", "u_shape", "disconnected"]
Blocks = Literal["height", "independent", "dependent", "curved"]

_COLOURS = torch.tensor([[69, 154, 145], [203, 107, 102]]) / 255
_COLUMNS = (0.25, 0.75)  # where balls that move up and down stand
_APART = 0.32  # least distance of centres that move in the plane, in sides of the picture
_SPLITS = {"train": 0, "validation": 1, "test": 2, "corner": 3}
_SUPPORTS: Mapping[Support, Callable[[Tensor], Tensor]] = {
    "square": lambda y: torch.ones_like(y[:, 0], dtype=torch.bool),
    "l_shape": lambda y: (y <= 0.5).any(1),
    "u_shape": lambda y: (y[:, 0] < 0.25) | ((y[:, 1] - 0.5).abs() > 0.2),
    "disconnected": lambda y: (y[:, 1] - 0.5).abs() > 0.3,
}
_BEYOND: Mapping[Blocks, Callable[[Tensor], Tensor]] = {
    "dependent": lambda first: first.sum(-1) >= 1,
    "curved": lambda first: 1.25 * first.square().sum(-1) >= 1,
}


class BallOptions(TypedDict, total=False):
    """Options of `MovingBalls` that say where its balls are; see there."""

    support: Support
    blocks: Blocks
    balls: tuple[int, int]
    occlusion: bool
    size: int
    radius: float


def render_balls(
    centres: Float[Tensor, "*batch ball 2"],
    *,
    size: int,
    radius: float,
    colours: Float[Tensor, "ball channel"],
) -> Float[Tensor, "*batch ball channel row column"]:
    """Return what each ball adds to a white picture: smooth, and zero outside of the ball.

    The colour of a ball fades towards its rim as exp(1 - 1 / (1 - r^2)), r being the distance from
    its centre over its radius, so that pictures are smooth functions of the centres.

    Args:
        centres: Column and height of each ball, from 0 to 1 with heights upwards; pixels lie at
            the nodes of a grid whose corners are 0 and 1.
        size: Height and width of the picture.
        radius: Of the balls, in sides of the picture.
        colours: Of the balls, from 0 to 1.
    """
    grid = torch.linspace(0, 1, size, dtype=centres.dtype, device=centres.device)
    column, height = (each[..., None] for each in centres.unbind(-1))
    squares = ((grid - column) ** 2).unsqueeze(-2) + ((1 - grid - height) ** 2).unsqueeze(-1)
    inside = 1 - squares / radius**2
    bump = torch.where(inside > 0, torch.exp(1 - 1 / inside.clamp(min=1e-6)), 0.0)
    return bump.unsqueeze(-3) * (colours.to(bump) - 1)[..., None, None]


def hide_balls(
    parts: Float[Tensor, "*batch ball channel row column"], colours: Float[Tensor, "ball channel"]
) -> Float[Tensor, "*batch channel row column"]:
    """Return pictures in which each ball covers those before it, as opaquely as it is coloured.

    Args:
        parts: What `render_balls` returned.
        colours: Of the balls, none of them white.
    """
    image = torch.ones_like(parts[..., 0, :, :, :])
    for ball, colour in enumerate(colours.to(parts)[..., None, None]):
        part = parts[..., ball, :, :, :]
        cover = (part / (colour - 1)).amax(-3, keepdim=True)
        image = image * (1 - cover) + cover + part
    return image


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BallTruth:
    """Where the balls of each picture are; models and guides never see it.

    Attributes:
        position: Column and height of each centre, from 0 to 1 with heights upwards.
        presence: 1 for balls that are in the picture, 0 for others; None if all are.
        dims: Names of the axes of these.
    """

    position: Float[Tensor, "sequence frame ball coordinate"]
    presence: Float[Tensor, "sequence frame ball"] | None = None
    dims: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {
            "position": ("sequence", "frame", "ball", "coordinate"),
            "presence": ("sequence", "frame", "ball"),
        }
    )


class BallSplit(AbstractSplit):
    """A part of `MovingBalls`, drawn when it is asked for.

    Attributes:
        truth: Where the balls are.
        size: Height and width.
        radius: Of the balls, in sides of the picture.
        occlusion: Whether the second ball hides the first.
    """

    def __init__(
        self, truth: BallTruth, *, size: int, radius: float, occlusion: bool = False
    ) -> None:
        self.truth, self.size, self.radius, self.occlusion = truth, size, radius, occlusion

    def __len__(self) -> int:
        return len(self.truth.position)

    def parts(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frame ball channel row column"]:
        """Return what each ball adds to the white background."""
        centres, there = self.truth.position[indices], self.truth.presence
        parts = render_balls(centres, size=self.size, radius=self.radius, colours=_COLOURS)
        return parts if there is None else parts * there[indices][..., None, None, None]

    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        parts = self.parts(indices)
        return hide_balls(parts, _COLOURS) if self.occlusion else 1 + parts.sum(-4)


class MovingBalls:
    """Pictures of two balls, each of a colour of its own, on white: exact sums of two parts.

    After the data sets of Lachapelle et al. 2023 (see `AdditiveDecoder`), with smooth balls of
    which the theorem holds exactly. Each sequence is a single picture.

    Args:
        support: Where the heights of the two balls lie, if `blocks="height"`: anywhere in a square;
            in an L, never both in the upper half; in a U; or in two separate rectangles.
        blocks: What moves. "height": balls stand side by side and move up and down. "independent":
            they move in the plane and do not meet. "dependent": likewise, and the second is in the
            upper left quarter where column and height of the first sum to 1 or more, else in the
            lower right one. "curved": likewise, where 1.25 times their squares do.
        balls: Least and largest number of balls in a picture; each number from the one to the other
            is as likely, and so is each choice of that many.
        occlusion: Whether the second ball hides the first where they meet, so that pictures are no
            sums. In the plane they are then allowed to.
        size: Height and width.
        radius: Of the balls, in sides of the picture.
        train_size: Number of training pictures.
        test_size: Number of pictures of each of the other splits.
        seed: Of all that is drawn.

    Attributes:
        train: Training split; `validation` and `test` are drawn alike.
        corner: Both heights in the upper half, which the L leaves out.
        image_shape: Channels, height and width.

    Raises:
        DataError: A name is unknown, or a number is out of range.
    """

    name = "balls"
    length = 1
    transforms: tuple[str, ...] = ()
    units: Mapping[str, str] = {}

    def __init__(
        self,
        support: Support = "l_shape",
        *,
        blocks: Blocks = "height",
        balls: tuple[int, int] = (2, 2),
        occlusion: bool = False,
        size: int = 12,
        radius: float = 0.4,
        train_size: int = 2000,
        test_size: int = 1000,
        seed: int = 0,
    ) -> None:
        _check(support, blocks, size, radius, train_size, test_size)
        _check_numbers(balls)
        self.image_shape = (3, size, size)

        def split(name: str, count: int) -> BallSplit:
            generator = torch.Generator().manual_seed(len(_SPLITS) * seed + _SPLITS[name])
            where = "corner" if name == "corner" else support
            centres = _centres(where, blocks, count, generator, meet=occlusion)
            present = _present(balls, count, generator)
            truth = BallTruth(position=centres.unsqueeze(1), presence=present)
            return BallSplit(truth, size=size, radius=radius, occlusion=occlusion)

        self.train, self.validation = split("train", train_size), split("validation", test_size)
        self.test, self.corner = split("test", test_size), split("corner", test_size)


def _centres(
    support: str, blocks: Blocks, count: int, generator: Generator, *, meet: bool
) -> Float[Tensor, "sequence ball 2"]:
    if blocks == "height":
        heights = _accepted(
            count, lambda n: torch.rand(n, 2, generator=generator), _heights_in(support)
        )
        columns = torch.tensor(_COLUMNS).expand_as(heights)
        return torch.stack([columns, heights], -1)
    if meet:
        return _in_the_plane(count, blocks, generator)
    return _accepted(count, lambda n: _in_the_plane(n, blocks, generator), _apart)


def _present(
    balls: tuple[int, int], count: int, generator: Generator
) -> Float[Tensor, "sequence 1 ball"] | None:
    """Return which balls are in each picture."""
    if balls[0] == len(_COLOURS):
        return None
    number = torch.randint(balls[0], balls[1] + 1, (count, 1), generator=generator)
    place = torch.rand(count, len(_COLOURS), generator=generator).argsort(1)
    return (place < number).float().unsqueeze(1)


def _heights_in(support: str) -> Callable[[Tensor], Tensor]:
    return (lambda y: (y > 0.5).all(1)) if support == "corner" else _SUPPORTS[support]  # type: ignore[index]


def _accepted(
    count: int, draw: Callable[[int], Tensor], accept: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return so many draws that are accepted, by rejection."""
    kept, found = [], 0
    while found < count:
        drawn = draw(2 * count)
        kept.append(drawn[accept(drawn)])
        found += len(kept[-1])
    return torch.cat(kept)[:count]


def _in_the_plane(
    count: int, blocks: Blocks, generator: Generator
) -> Float[Tensor, "sequence ball 2"]:
    centres = 0.1 + 0.8 * torch.rand(count, 2, 2, generator=generator)
    if blocks in _BEYOND:
        low, high = (0.1 + 0.4 * torch.rand(2, count, generator=generator)).unbind()
        high = high + 0.4
        upper_left, lower_right = torch.stack([low, high], -1), torch.stack([high, low], -1)
        beyond = _BEYOND[blocks](centres[:, 0]).unsqueeze(-1)
        centres[:, 1] = torch.where(beyond, upper_left, lower_right)
    return centres


def _apart(centres: Float[Tensor, "sequence ball 2"]) -> Bool[Tensor, " sequence"]:
    return (centres[:, 0] - centres[:, 1]).square().sum(-1) >= _APART**2


def _check(support: str, blocks: str, size: int, radius: float, *counts: int) -> None:
    for given, known in ((support, get_args(Support)), (blocks, get_args(Blocks))):
        if given not in known:
            raise DataError(f"Found {given!r}, but one of {', '.join(known)} is needed.")
    if size < 4 or not 0 < radius <= 1 or min(counts) < 1:
        raise DataError(
            f"Found size={size}, radius={radius} and {min(counts)} pictures in a split, but at "
            "least 4, something in (0, 1] and at least 1 are needed."
        )


def _check_numbers(balls: tuple[int, int]) -> None:
    whole = all(isinstance(number, int) for number in balls)
    if len(balls) != 2 or not whole or not 0 <= balls[0] <= balls[1] <= len(_COLOURS):
        raise DataError(
            f"Found balls={balls}, but the least and the largest number of balls in a picture, "
            f"from 0 to {len(_COLOURS)}, are needed."
        )

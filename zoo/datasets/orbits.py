"""Images carried along the orbits of a finite group, so that one may ask which element acted."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ..errors import DataError
from ..finite_group import FiniteGroup
from .images import Images, to_float
from .motion import check_name
from .render import render_once
from .splits import AbstractSplit, divide

__all__ = ["OrbitSequences", "OrbitSplit", "OrbitTruth", "carry", "pairs_of"]

FACTORS = ("rotation", "translation_x", "translation_y")
_ALL_PAIRS = 100  # of start and element: as many sequences of an image show them all


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OrbitTruth:
    """What made the sequences of a split.

    Attributes:
        base: Which of the data set's images each sequence shows.
        start: Element that carried it to the first frame.
        acted: Element that acts between any two frames; with an axis of time if it changes.
    """

    base: Int[Tensor, " sequence"]
    start: Int[Tensor, " sequence"]
    acted: Int[Tensor, "sequence *time"]

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of each."""
        time = ("time",) * (self.acted.ndim - 1)
        return {"base": ("sequence",), "start": ("sequence",), "acted": ("sequence", *time)}

    def changing(
        self, stay: float, transitions: int, acting: Int[Tensor, " element"], generator: Generator
    ) -> "OrbitTruth":
        """Return the same with an element for each transition, unless it always stays.

        Args:
            stay: Probability that the same element acts again.
            transitions: How many there are.
            acting: Which elements may act.
            generator: Source of changes.
        """
        if stay == 1:
            return self
        acted = [self.acted]
        for _ in range(transitions - 1):
            change = torch.rand(len(self.acted), generator=generator) >= stay
            which = torch.randint(len(acting), (len(self.acted),), generator=generator)
            acted.append(torch.where(change, acting[which], acted[-1]))
        return dataclasses.replace(self, acted=torch.stack(acted, 1))


def carry(
    images: Float[Tensor, "batch channel height width"],
    element: Int[Tensor, "batch time"],
    group: FiniteGroup,
    *,
    whole_pixels: bool = False,
) -> Float[Tensor, "batch time channel height width"]:
    """Draw images under elements of a group whose factors are turns and translations.

    K steps of a rotation make a full turn, counter-clockwise; K steps of a translation, to the
    right or down, cross the picture, which is a torus. They are exact where pixels meet pixels: at
    right angles, and where K divides the width. Elsewhere pixels blend.

    Args:
        images: Base images.
        element: Number of the element of each frame.
        group: The group; its names are those of the factors.
        whole_pixels: Round each step of a translation, as the published data do. Unless K divides
            the width, K steps then miss the whole way round, and the steps are no group.
    """
    _, _, height, width = images.shape
    span = {"rotation": 360, "translation_x": width, "translation_y": height}
    pose = {}
    for i, name in enumerate(group.names):
        step = span[name] / group.orders[i]
        if whole_pixels and name != "rotation":
            step = round(step)
        pose[name] = group.steps[element, i] * float(step)
    return render_once(images, pose, cyclic=True)


class OrbitSplit(AbstractSplit):
    """Sequences of one part of the base images, drawn when they are asked for.

    Attributes:
        truth: What made the sequences, in the order of the split.
        group: The group that acts.
        labelled: Whether batches say which element acts, as `transformation`.
    """

    def __init__(
        self,
        images: Images,
        truth: OrbitTruth,
        group: FiniteGroup,
        render: Callable[[Tensor, Tensor, Tensor], Tensor],
        *,
        labelled: bool,
    ) -> None:
        self.truth, self.group, self.labelled = truth, group, labelled
        self._source, self._render = images, render

    def __len__(self) -> int:
        return len(self.truth.base)

    def batch(self, indices: Int[Tensor, " batch"] | Sequence[int]) -> dict[str, Tensor]:
        """Return the sequences at `indices`, and what acts in them if the split says so.

        Raises:
            IndexError: An index is outside of the split.
        """
        found = super().batch(indices)
        if self.labelled:
            found["transformation"] = self.truth.acted[torch.as_tensor(indices, dtype=torch.long)]
        return found

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Return several items; data loaders call this to make a batch in one go."""
        found = self.batch(indices)
        return [{name: found[name][k] for name in found} for k in range(len(indices))]

    @property
    def observations(self) -> dict[str, Tensor]:
        """All the tensors of this split that a model may see, drawn anew at each access."""
        labels = {"transformation": self.truth.acted} if self.labelled else {}
        return super().observations | labels

    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        truth = self.truth
        images = to_float(self._source.pixels[truth.base[indices]])
        return self._render(images, truth.start[indices], truth.acted[indices])


class OrbitSequences:
    """Sequences in which one element of a finite group acts again and again, split by base image.

    Each sequence takes one image, carries it to a random start, and lets a random element act
    between any two frames; two frames are a pair. The published data of Bouchacourt et al. 2021
    (arXiv:2102.05623) are all pairs of `polygons()`.

    Args:
        images: Images to transform.
        orders: Number of steps of each factor.
        factors: "rotation", "translation_x" or "translation_y", each once; rotation comes first.
        length: Number of frames of a sequence.
        seed: Seed of the split, the starts and the elements.
        labelled: Whether models are told which element acts.
        sequences_per_image: Sequences of each base image. None makes all pairs of start and
            element, or 100 of them at random where there are more.
        elements: Which elements act in training; all when None.
        stay: Probability that the same element acts again; else any takes over, and
            what acted has an axis of time.
        fractions: Shares of base images for training, validation and test.
        test_images: Images for the test split alone.
        warp: "once" draws each frame from the base image, so the frames are an orbit; "accumulate"
            draws it from the frame before, as published, which blurs.
        whole_pixels: Round the steps of translations, as published; see `carry`.

    Attributes:
        group: The group that acts.
        train: Training split; `validation` and `test` likewise.

    Raises:
        DataError: The images or an option are wrong.
        ConfigError: The orders make no group.
    """

    def __init__(
        self,
        images: Images | Tensor,
        orders: Sequence[int] = (10,),
        factors: Sequence[str] = ("rotation",),
        *,
        length: int = 2,
        seed: int = 0,
        labelled: bool = False,
        sequences_per_image: int | None = None,
        elements: Sequence[int] | None = None,
        stay: float = 1.0,
        fractions: tuple[float, float, float] = (0.4, 0.1, 0.5),
        test_images: Images | None = None,
        warp: Literal["once", "accumulate"] = "once",
        whole_pixels: bool = False,
    ) -> None:
        _check_factors(factors, length, sequences_per_image)
        if not 0 < stay <= 1:
            raise DataError(
                f"Found stay={stay}; expected a probability above 0, 1 to never change."
            )
        check_name(warp, ("once", "accumulate"), "warp")
        images = images if isinstance(images, Images) else Images.from_array(images)
        turning = tuple(factors) == FACTORS and orders[0] in (2, 4)
        self.group = FiniteGroup(orders, factors, turning=turning)
        self.length, self.labelled, self._images = length, labelled, images
        self.warp, self.whole_pixels = warp, whole_pixels
        generator = torch.Generator().manual_seed(seed)
        shares = fractions if test_images is None else _without_test(fractions)
        parts = divide(len(images), shares, generator)
        if test_images is not None:
            self._images = images.joined(test_images)
            parts.append(torch.arange(len(images), len(self._images)))
        allowed = _checked_elements(elements, self.group)
        every = torch.arange(len(self.group))
        self.train, self.validation, self.test = (
            OrbitSplit(
                self._images,
                _drawn(part, len(self.group), acting, sequences_per_image, generator).changing(
                    stay, length - 1, acting, generator
                ),
                self.group,
                self._render,
                labelled=labelled,
            )
            for part, acting in zip(parts, (allowed, allowed, every), strict=True)
        )

    @property
    def name(self) -> str:
        """Name of the images."""
        return self._images.name

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channel, height, width of a frame."""
        return self._images.image_shape

    @property
    def transforms(self) -> tuple[str, ...]:
        """Names of the factors."""
        return self.group.names

    @property
    def units(self) -> dict[str, str]:
        """Unit of a step of each factor."""
        return {
            name: f"1/{order} {'turn' if name == 'rotation' else 'picture'}"
            for name, order in zip(self.group.names, self.group.orders, strict=True)
        }

    @property
    def orders(self) -> tuple[int, ...]:
        """Number of steps of each factor of the group."""
        return self.group.orders

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors of the group."""
        return self.group.names

    @property
    def turning(self) -> bool:
        """Whether its first factor turns the plane of the others."""
        return self.group.turning

    @property
    def model_options(self) -> dict[str, object]:
        """Fields of a model's configuration that these data decide."""
        names = ("image_shape", "length", "orders", "factors", "turning")
        return {name: getattr(self, name) for name in names}

    def _render(
        self, images: Tensor, start: Int[Tensor, " batch"], acted: Int[Tensor, "batch *time"]
    ) -> Tensor:
        """Draw whole sequences, given their start and what acts."""
        acts = [acted] * (self.length - 1) if acted.ndim == 1 else acted.unbind(1)
        if self.warp == "once":
            walked = [start]
            for act in acts:
                walked.append(self.group.table[act, walked[-1]])
            return self._carried(images, torch.stack(walked, -1))
        frames = [images]
        for act in (start, *acts):
            frames.append(self._carried(frames[-1], act.unsqueeze(-1)).squeeze(1))
        return torch.stack(frames[1:], 1)

    def _carried(self, images: Tensor, element: Int[Tensor, "batch time"]) -> Tensor:
        return carry(images, element, self.group, whole_pixels=self.whole_pixels)


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


def _check_factors(factors: Sequence[str], length: int, sequences: int | None) -> None:
    for name in factors:
        check_name(name, FACTORS, "factor of a group")
    if sorted(set(factors), key=FACTORS.index) != list(factors):
        raise DataError(
            f"Found factors={tuple(factors)}; expected each once, in the order {FACTORS}."
        )
    if length < 2 or (sequences is not None and sequences < 1):
        raise DataError(
            f"Found length={length}, sequences_per_image={sequences}; expected 2 frames or more of "
            "1 sequence or more."
        )


def _without_test(fractions: tuple[float, float, float]) -> tuple[float, float]:
    rest = fractions[0] + fractions[1]
    if rest <= 0:
        raise DataError(f"fractions={fractions} leave nothing for training and validation.")
    return fractions[0] / rest, fractions[1] / rest


def _checked_elements(elements: Sequence[int] | None, group: FiniteGroup) -> Tensor:
    chosen = torch.arange(len(group)) if elements is None else torch.as_tensor(elements)
    if not len(chosen) or int(chosen.min()) < 0 or int(chosen.max()) >= len(group):
        raise DataError(
            f"Found elements={list(elements or ())}; expected one or more from 0 to "
            f"{len(group) - 1}, the elements of a group with orders {group.orders}."
        )
    return chosen


def _drawn(
    base: Int[Tensor, " image"],
    size: int,
    acting: Int[Tensor, " element"],
    sequences: int | None,
    generator: Generator,
) -> OrbitTruth:
    """Draw the sequences of the base images of a split."""
    every = torch.tensor(list(itertools.product(range(size), acting.tolist())))
    if sequences is None and len(every) <= _ALL_PAIRS:
        start, acted = every.repeat(len(base), 1).unbind(-1)
        count = len(every)
    else:
        count = _ALL_PAIRS if sequences is None else sequences
        which = torch.randint(len(every), (count * len(base),), generator=generator)
        start, acted = every[which].unbind(-1)
    # In any order, so that the first few show what there is.
    order = torch.randperm(len(start), generator=generator)
    base, start, acted = (x[order] for x in (base.repeat_interleave(count), start, acted))
    return OrbitTruth(base=base, start=start, acted=acted)

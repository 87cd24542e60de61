"""Images carried along the orbits of a finite group, so that one may ask which element acted."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from ..errors import DataError
from ..finite_group import FiniteGroup
from .images import Images
from .motion import check_name
from .orbit_split import OrbitSplit, OrbitTruth, carry
from .splits import divide

__all__ = ["OrbitSequences"]

FACTORS = ("rotation", "translation_x", "translation_y")


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
        turning = len(factors) > 1 and factors[0] == "rotation"  # turns the translations
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
                OrbitTruth.drawn(
                    part, len(self.group), acting, sequences_per_image, generator
                ).changing(stay, length - 1, acting, generator),
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

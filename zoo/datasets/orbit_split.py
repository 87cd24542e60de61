"""Sequences along the orbits of a finite group: what made them, and how they are drawn."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ..finite_group import FiniteGroup
from .images import Images, to_float
from .render import render_once
from .splits import AbstractSplit

__all__ = ["OrbitSplit", "OrbitTruth", "carry"]

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

    @staticmethod
    def drawn(
        base: Int[Tensor, " image"],
        size: int,
        acting: Int[Tensor, " element"],
        sequences: int | None,
        generator: Generator,
    ) -> "OrbitTruth":
        """Draw the sequences of the base images of a split.

        Args:
            base: Which images.
            size: Number of elements of the group.
            acting: Which of them may act.
            sequences: Number of sequences of each image; None makes all pairs of start and element,
                or 100 of them at random where there are more.
            generator: Source of all draws.
        """
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

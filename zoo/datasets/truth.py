"""The truth of synthetic sequences, and the split that draws frames from it."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor

from .images import Images, to_float
from .motion import Motion, Trajectories
from .render import render_accumulated, render_once
from .splits import AbstractSplit

__all__ = ["TransformedSplit", "Truth"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Truth(Trajectories):
    """What made the sequences of a split; models and guides never see it.

    Attributes:
        base: Which of the data set's images each sequence shows.
        factors: Names of the factor axis.
        units: Unit of the pose of each factor; speeds are per frame.
    """

    base: Int[Tensor, " sequence"]
    factors: tuple[str, ...]
    units: Mapping[str, str]

    @staticmethod
    def drawn(motion: Motion, base: Int[Tensor, " sequence"], generator: Generator) -> "Truth":
        """Draw one sequence of each base image, named by its index."""
        sampled = motion.sample(len(base), generator)
        fields = {field.name: getattr(sampled, field.name) for field in dataclasses.fields(sampled)}
        return Truth(**fields, base=base, factors=motion.transforms, units=motion.units)


class TransformedSplit(AbstractSplit):
    """Sequences of one part of the base images, drawn when they are asked for.

    Attributes:
        truth: What made the sequences, in the order of the split.
    """

    def __init__(
        self, images: Images, truth: Truth, *, warp: Literal["once", "accumulate"], cyclic: bool
    ) -> None:
        self.truth = truth
        self._source = images
        self._render = (
            functools.partial(render_once, cyclic=cyclic) if warp == "once" else render_accumulated
        )

    def __len__(self) -> int:
        return len(self.truth.base)

    def base_images(
        self, indices: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch channel height width"]:
        """Return the images that the sequences at `indices` (default: all) transform."""
        base = self.truth.base if indices is None else self.truth.base[indices]
        return to_float(self._source.pixels[base])

    def base_labels(self) -> Shaped[Tensor, "sequence *label"] | None:
        """Return the labels of the base images, where the source has them."""
        labels = self._source.labels
        return None if labels is None else labels[self.truth.base]

    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        pose = dict(zip(self.truth.factors, self.truth.pose[indices].unbind(-1), strict=True))
        return self._render(self.base_images(indices), pose)

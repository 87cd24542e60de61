"""Splits: what a model sees of a part of a data set, and the truth that travels beside it."""

import abc
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.utils.data import Dataset

from ..errors import DataError

__all__ = ["AbstractSplit", "FirstOf", "SequenceData", "divide"]

CHUNK = 1024


class AbstractSplit(Dataset[dict[str, Tensor]], abc.ABC):
    """A part of a data set of image sequences.

    Items and batches hold the observed tensors by name, here only `images`, floats in [0, 1].
    """

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        """Return the sequences at valid, non-negative indices."""

    def batch(
        self, indices: Int[Tensor, " batch"] | Sequence[int]
    ) -> dict[str, Float[Tensor, "batch time channel height width"]]:
        """Return the sequences at `indices`, made in one go.

        Raises:
            IndexError: An index is outside of the split.
        """
        count = len(self)
        rows = torch.as_tensor(indices, dtype=torch.long)
        if len(rows) and not bool(((rows >= -count) & (rows < count)).all()):
            raise IndexError(f"An index is outside of this split of {count} sequences.")
        return {"images": self._images(rows % max(count, 1))}

    def __getitem__(self, index: int) -> dict[str, Float[Tensor, "time channel height width"]]:
        return self.__getitems__([index])[0]

    def __getitems__(
        self, indices: Sequence[int]
    ) -> list[dict[str, Float[Tensor, "time channel height width"]]]:
        """Return several items; data loaders call this to make a batch in one go."""
        return [{"images": images} for images in self.batch(indices)["images"]]

    @property
    def observations(self) -> dict[str, Float[Tensor, "sequence time channel height width"]]:
        """All the tensors of this split that a model may see, drawn anew at each access."""
        rows = torch.arange(len(self))
        chunks = range(0, max(len(self), 1), CHUNK)
        return {
            "images": torch.cat([self._images(rows[start : start + CHUNK]) for start in chunks])
        }


class FirstOf(AbstractSplit):
    """The first sequences of a split, with their truth.

    Args:
        split: Any split.
        count: Keep at most this many.
    """

    def __init__(self, split: Any, count: int) -> None:  # noqa: ANN401 - any kind of split
        self._split = split
        self._count = min(count, len(split))
        self.truth = _first_rows(split.truth, self._count, len(split))

    def __len__(self) -> int:
        return self._count

    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        images: Tensor = self._split.batch(indices)["images"]
        return images


def _first_rows(truth: Any, count: int, total: int) -> Any:  # noqa: ANN401 - as its docstring says
    """Return a truth (a dataclass or mapping of tensors, or None) of the first sequences."""

    def cut(value: Any) -> Any:  # noqa: ANN401 - tensors are cut, all else passes
        return value[:count] if isinstance(value, Tensor) and len(value) == total else value

    if dataclasses.is_dataclass(truth) and not isinstance(truth, type):
        values = {f.name: cut(getattr(truth, f.name)) for f in dataclasses.fields(truth)}
        return type(truth)(**values)
    return None if truth is None else {name: cut(value) for name, value in truth.items()}


class SequenceData(Protocol):
    """What every data set of image sequences offers to inference."""

    @property
    def name(self) -> str:
        """A short name for records and figures."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channel, height, width of a frame."""

    @property
    def length(self) -> int:
        """Number of frames of a sequence, one more than transitions."""

    @property
    def transforms(self) -> tuple[str, ...]:
        """Names of the factors that we move; empty for recorded sequences."""

    @property
    def units(self) -> dict[str, str]:
        """Unit of the pose of each of these factors."""

    @property
    def train(self) -> AbstractSplit:
        """Training split."""

    @property
    def validation(self) -> AbstractSplit:
        """Validation split."""

    @property
    def test(self) -> AbstractSplit:
        """Test split."""


def divide(
    count: int, fractions: Sequence[float], generator: Generator, what: str = "images"
) -> list[Int[Tensor, " part"]]:
    """Divide 0 .. count - 1 at random into parts; a part of positive fraction gets at least one.

    Args:
        count: How many to divide.
        fractions: Share of each part; shares sum to 1.
        generator: Source of the permutation.
        what: What the error message calls the divided things.

    Raises:
        DataError: The fractions are no shares of one, or there are fewer things than parts.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"fractions={tuple(fractions)}: expected shares >= 0 that sum to 1.")
    parts = sum(fraction > 0 for fraction in fractions)
    if count < parts:
        raise DataError(
            f"Found {count} {what}, expected at least {parts}: one for each of training, "
            "validation and test. Give more, or set a fraction to 0."
        )
    sizes = [max(round(count * fraction), int(fraction > 0)) for fraction in fractions]
    sizes[sizes.index(max(sizes))] += count - sum(sizes)
    bounds = list(itertools.accumulate(sizes))[:-1]
    return list(torch.randperm(count, generator=generator).tensor_split(bounds))

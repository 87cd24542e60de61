"""Sequences of images as they were recorded or published."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..errors import DataError
from .images import as_tensor, channels_first, checked_pixels, spaced, to_float
from .splits import AbstractSplit, divide

__all__ = ["ImageSequences", "SequenceSplit"]


class SequenceSplit(AbstractSplit):
    """Part of a set of sequences.

    Attributes:
        rows: Which sequences of the set are in this part.
        truth: Known factors of these sequences by name, first axis sequence; or None.
    """

    def __init__(
        self,
        frames: Shaped[Tensor, "sequence time channel height width"],
        rows: Int[Tensor, " part"],
        truth: Mapping[str, Tensor] | None,
    ) -> None:
        self.rows = rows
        self.truth = None if truth is None else {name: truth[name][rows] for name in truth}
        self._frames = frames

    def __len__(self) -> int:
        return len(self.rows)

    def _images(
        self, indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time channel height width"]:
        return to_float(self._frames[self.rows[indices]])


class ImageSequences:
    """A set of image sequences that are given, not made, split by group.

    Args:
        frames: Shape (sequence, time, channel, height, width) or channels last, uint8 in 0..255
            or floats in [0, 1].
        truth: Known factors by name, first axis sequence; models and guides never see them.
        varying: Names of the factors in `truth` whose second axis is time.
        groups: Number of the character, clip or other thing that each sequence shows, shape
            (sequence,). All sequences of a group are in one split. Without it each is its own.
        in_test: Which sequences make the published test split, shape (sequence,); the others are
            divided between training and validation in the ratio of their fractions.
        seed: Seed of the split.
        fractions: Shares of groups for training, validation and test.
        name: A short name for records and figures.
        citation: Whom to cite, and the licence.

    Attributes:
        frames: All frames, channels first, uint8 or float32.
        length: Number of frames of a sequence.
        transforms: Empty: no factor of these sequences was set by us.
        train: Training split; `validation` and `test` likewise.

    Raises:
        DataError: The frames have the wrong shape, type or range, show one frame only, or other
            arguments do not match them.
    """

    transforms: tuple[str, ...] = ()

    def __init__(
        self,
        frames: Shaped[Tensor, "sequence time channel height width"] | np.ndarray,
        *,
        truth: Mapping[str, Tensor | np.ndarray] | None = None,
        varying: Sequence[str] = (),
        groups: Int[Tensor, " sequence"] | np.ndarray | None = None,
        in_test: Tensor | np.ndarray | None = None,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        name: str = "sequences",
        citation: str = "",
    ) -> None:
        self.name, self.citation = name, citation
        pixels = channels_first(as_tensor(frames, name))
        self.frames = checked_pixels(pixels, rank=5, name=name)
        count, self.length = self.frames.shape[:2]
        if self.length < 2:
            raise DataError(
                f"{name}: found sequences of 1 frame, expected 2 or more. Give single images to "
                "TransformedImages instead."
            )
        self._seed, self._fractions, self._varying = seed, tuple(fractions), tuple(varying)
        self._known = None if truth is None else {k: as_tensor(v, k) for k, v in truth.items()}
        self._groups = torch.arange(count) if groups is None else as_tensor(groups, "groups")
        self._in_test = None if in_test is None else as_tensor(in_test, "in_test")
        self._check()
        parts = _divided(self._groups, self._in_test, self._fractions, seed)
        self.train, self.validation, self.test = (
            SequenceSplit(self.frames, rows, self._known) for rows in parts
        )

    def _check(self) -> None:
        """Raise `DataError` where something beside the frames has another size than they."""
        count = len(self.frames)
        beside = {**(self._known or {}), "groups": self._groups}
        if self._in_test is not None:
            beside["in_test"] = self._in_test
        for key, value in beside.items():
            expected = (count, self.length) if key in self._varying else (count,)
            if value.shape[: len(expected)] != expected:
                raise DataError(
                    f"{self.name}: {key} has shape {tuple(value.shape)}, expected it to start "
                    f"with {expected} like the frames. Give one entry for each sequence."
                )

    def shortened(self, length: int | None = None, limit: int | None = None) -> "ImageSequences":
        """Return the first frames of some sequences, with the same seed and groups.

        Args:
            length: Number of frames; all when None.
            limit: Number of evenly spaced sequences; all when None.

        Raises:
            DataError: The sequences are shorter than `length`, or too few are left to divide.
        """
        length = self.length if length is None else length
        if not 2 <= length <= self.length:
            raise DataError(
                f"length={length}, but {self.name} has sequences of {self.length} frames. "
                f"Choose a length from 2 to {self.length}."
            )
        rows = spaced(len(self.frames), len(self.frames) if limit is None else limit)
        known = {key: value[rows] for key, value in (self._known or {}).items()}
        for key in self._varying:
            known[key] = known[key][:, :length]
        return ImageSequences(
            self.frames[rows, :length],
            truth=known or None,
            varying=self._varying,
            groups=self._groups[rows],
            in_test=None if self._in_test is None else self._in_test[rows],
            seed=self._seed,
            fractions=self._fractions,
            name=self.name,
            citation=self.citation,
        )

    def constant_truth(self) -> dict[str, Shaped[Tensor, "sequence *_"]]:
        """Return what is known of whole sequences, by name; empty if nothing is."""
        return {k: v for k, v in (self._known or {}).items() if k not in self._varying}

    @property
    def units(self) -> dict[str, str]:
        """Empty, like `transforms`."""
        return {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channel, height, width of a frame."""
        channel, height, width = self.frames.shape[2:]
        return channel, height, width


def _divided(
    groups: Int[Tensor, " sequence"],
    in_test: Tensor | None,
    fractions: Sequence[float],
    seed: int,
) -> list[Int[Tensor, " part"]]:
    """Return the sequences of each split."""
    generator = torch.Generator().manual_seed(seed)
    member = torch.unique(groups, return_inverse=True)[1]
    if in_test is None:
        parts = divide(int(member.max()) + 1, fractions, generator, "groups of sequences")
        return [torch.isin(member, part).nonzero().squeeze(1) for part in parts]
    if torch.isin(member[in_test], member[~in_test]).any():
        raise DataError("A group is both in the test split and outside of it. Check in_test.")
    rest = torch.unique(member[~in_test])
    shares = [fraction / sum(fractions[:2]) for fraction in fractions[:2]]
    parts = [rest[part] for part in divide(len(rest), shares, generator, "groups of sequences")]
    rows = [torch.isin(member, part).nonzero().squeeze(1) for part in parts]
    return [*rows, in_test.nonzero().squeeze(1)]

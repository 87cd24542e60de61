"""Data on their way to training: anything that holds named tensors, in batches, in random order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import default_collate

from ..zoo.errors import DataError
from .named_tensors import Tensors, count_rows, kinds_of

__all__ = [
    "Shuffle",
    "Split",
    "Tensors",
    "as_split",
    "count_of",
    "held_in_memory",
    "like",
    "splits_of",
]

# Splits up to this size are rendered once and kept, which makes a step of a small model twice as
# fast; larger ones are rendered batch by batch.
_KEEP_BYTES = 2**30
_CHUNK = 1024


class Split(Protocol):
    """Observations that can be asked for in batches."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """Return the observed tensors of the data at `indices`, by name."""


def as_split(data: Any) -> Split:  # noqa: ANN401 - see `fit`
    """Return the data in a form that gives batches, not rendered yet.

    Args:
        data: A split with `batch(indices)`; tensors by name with a common first axis; or any
            map-style `torch.utils.data.Dataset` whose items hold tensors by name.

    Raises:
        DataError: The data are none of these, are empty, or hold values that are not finite.
    """
    if isinstance(data, Mapping):
        split: Split = Tensors(data)
    elif callable(getattr(data, "batch", None)) and hasattr(data, "__len__"):
        split = _Checked(data, type(data).__name__)
    elif callable(getattr(data, "__getitem__", None)) and hasattr(data, "__len__"):
        split = _Checked(_Items(data), type(data).__name__)
    else:
        raise DataError(
            f"Found data of type {type(data).__name__}; expected a data set, a split with "
            "`batch(indices)`, or a mapping of named tensors such as {'images': tensor}."
        )
    if count_of(split) == 0:
        raise DataError("The data set is empty: there is nothing to learn from.")
    if not isinstance(split, Tensors):
        Tensors(split.batch(torch.arange(1)))
    return split


def splits_of(data: Any) -> tuple[Any, Any]:  # noqa: ANN401 - see `fit`
    """Return what to train on and what to hold out, None if there is nothing."""
    if isinstance(data, Mapping):
        if isinstance(data.get("train"), Tensor) or "train" not in data:
            return data, None
        return data["train"], data.get("validation")
    train = getattr(data, "train", None)
    # Data sets of other libraries have a flag or a method of that name.
    if train is None or isinstance(train, bool) or not hasattr(train, "__len__"):
        return data, None
    return train, getattr(data, "validation", None)


def count_of(data: Any) -> int:  # noqa: ANN401 - see `fit`
    """Return the number of data.

    Raises:
        DataError: They have none.
    """
    try:
        return len(data)
    except (OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"{type(data).__name__} does not say how many data it holds ({error}). Give it a "
            "`__len__` that does."
        ) from error


def like(batch: Mapping[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    """Return a batch on the device of a parameter; real numbers take on its dtype."""
    known = {name: tensor.detach() for name, tensor in batch.items()}
    return {
        name: tensor.to(parameter) if tensor.is_floating_point() else tensor.to(parameter.device)
        for name, tensor in known.items()
    }


def held_in_memory(split: Split, device: torch.device, where: str = "auto") -> Split:
    """Return the split rendered once and kept on a device, if it is small enough.

    Args:
        split: What `as_split` returned.
        device: Where training runs.
        where: "auto" keeps splits of up to one gigabyte that fill at most half of what is free on
            the device, "device" keeps any, "stream" renders each batch anew.

    Raises:
        DataError: Values are not finite, or differ in names, shapes or types.
    """
    if where == "stream":
        return split
    first = split.batch(torch.arange(1))
    size = len(split) * sum(x.numel() * x.element_size() for x in first.values())
    room = _KEEP_BYTES
    if device.type == "cuda":
        room = min(room, torch.cuda.mem_get_info(device)[0] // 2)
    if where == "auto" and size > room:
        return split
    if isinstance(split, Tensors):
        return Tensors({name: tensor.to(device) for name, tensor in split.tensors.items()})
    return _rendered(split, first, device)


def _rendered(split: Split, first: Mapping[str, Tensor], device: torch.device) -> Tensors:
    """Return all data of a split; the first of them says what the others are like."""
    whole = {
        name: torch.empty(len(split), *x.shape[1:], dtype=x.dtype, device=device)
        for name, x in first.items()
    }
    expected = kinds_of(first)
    for index in torch.arange(len(split)).split(_CHUNK):
        chunk = split.batch(index)
        if kinds_of(chunk) != expected:
            raise DataError(
                f"Found data {expected} first, and {kinds_of(chunk)} from number {index[0]} on. "
                "Give all the same names, shapes and types. Those of several lengths can only be "
                "read batch by batch: pass data_device='stream'."
            )
        for name, tensor in chunk.items():
            whole[name][index[0] : index[-1] + 1] = tensor
    return Tensors(whole)


class _Checked:
    """A split whose every batch is known to hold named tensors, a row for each index."""

    def __init__(self, split: Split, name: str) -> None:
        self.split, self.name = split, name

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Return the data at `indices`."""
        batch = self.split.batch(indices)
        rows = count_rows(batch)
        if rows != len(indices):
            raise DataError(
                f"Asked for a batch of {len(indices)}, {self.name} gave {rows} rows; expected one "
                "for each index. Let `batch` choose along the first axis."
            )
        return batch


class _Items:
    """A map-style data set whose items are mappings, as a split."""

    def __init__(self, items: Any) -> None:  # noqa: ANN401 - any map-style data set
        self.items = items
        if count_of(items):
            self._item(0)

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Return the items asked for, stacked."""
        items = [self._item(int(i)) for i in indices]
        try:
            batch: dict[str, Tensor] = default_collate(items)
        except Exception as error:  # items hold anything, and each fails in its own way
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"Items {indices.tolist()[:8]}… of the data set do not stack: {reason}. All must "
                "have the same names and shapes."
            ) from error
        return batch

    def _item(self, index: int) -> Mapping[str, Any]:
        """Return an item, once it is known to be named tensors."""
        try:
            item = self.items[index]
        except (LookupError, TypeError) as error:
            raise DataError(
                f"{type(self.items).__name__} has no item {index} ({type(error).__name__}: "
                f"{error}); expected a data set whose items 0, 1, … are named tensors such as "
                "{'images': tensor}."
            ) from error
        if not isinstance(item, Mapping):
            raise DataError(
                f"Item {index} of the data set is of type {type(item).__name__}; expected named "
                "tensors such as {'images': tensor}: their names are the model's arguments."
            )
        return item


class Shuffle:
    """Shuffled indices for ever: every epoch sees each datum once. It can stop and go on exactly.

    Args:
        count: Number of data.
        batch_size: Number of indices of a batch; the last of an epoch may be shorter.
        seed: Of the order.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int) -> None:
        self.count, self.batch_size = count, batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._at_start = self.generator.get_state()
        self._order = torch.randperm(self.count, generator=self.generator)
        self.position = 0

    def next(self) -> Int[Tensor, " batch"]:
        """Return the next batch of indices."""
        if self.position >= self.count:
            self._begin_epoch()
        indices = self._order[self.position : self.position + self.batch_size]
        self.position += len(indices)
        return indices

    def state(self) -> tuple[Tensor, int]:
        """Return the generator's state at the start of the epoch, and the position in it."""
        return self._at_start, self.position

    def restore(self, at_start: Tensor, position: int) -> None:
        """Go on from a state."""
        self.generator.set_state(at_start)
        self._begin_epoch()
        self.position = position

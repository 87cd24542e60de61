"""Data on their way to training: anything that holds named tensors, in batches, in random order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import default_collate

from ..zoo.errors import DataError

__all__ = ["Shuffle", "Split", "Tensors", "as_split", "held_in_memory", "like"]

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
        split = data
    elif callable(getattr(data, "__getitem__", None)) and hasattr(data, "__len__"):
        split = _Items(data)
    else:
        raise DataError(
            f"Found data of type {type(data).__name__}; expected a data set, a split with "
            "`batch(indices)`, or a mapping of named tensors such as {'images': tensor}."
        )
    if len(split) == 0:
        raise DataError("The data set is empty: there is nothing to learn from.")
    return split


def like(batch: Mapping[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    """Return a batch on the device of a parameter; real numbers take on its dtype."""
    return {
        name: tensor.to(parameter) if tensor.is_floating_point() else tensor.to(parameter.device)
        for name, tensor in batch.items()
    }


def held_in_memory(split: Split, device: torch.device, where: str = "auto") -> Split:
    """Return the split rendered once and kept on a device, if it is small enough.

    Args:
        split: What `as_split` returned.
        device: Where training runs.
        where: "auto" keeps splits of up to one gigabyte that fill at most half of what is free on
            the device, "device" keeps any, "stream" renders each batch anew.

    Raises:
        DataError: Values are not finite.
    """
    if where == "stream":
        return split
    first = split.batch(torch.arange(1))
    size = len(split) * sum(x.numel() * x.element_size() for x in first.values())
    room = _KEEP_BYTES
    if device.type == "cuda":
        room = torch.cuda.mem_get_info(device)[0] // 2
    if where == "auto" and size > room:
        return split
    if not isinstance(split, Tensors):
        chunks = [split.batch(index) for index in torch.arange(len(split)).split(_CHUNK)]
        split = Tensors({name: torch.cat([c[name] for c in chunks]) for name in first})
    return Tensors({name: tensor.to(device) for name, tensor in split.tensors.items()})


class Tensors:
    """Named tensors with a common first axis, as a split."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        if not tensors:
            raise DataError("The data set is empty: it holds no tensor.")
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor) or tensor.ndim == 0:
                raise DataError(
                    f"{name!r} is a {type(tensor).__name__}; expected a tensor whose first axis is "
                    "that of the data. Convert arrays with torch.as_tensor."
                )
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f"Tensors of one data set must have one length, found {lengths}.")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise DataError(f"{name!r} holds NaN or infinity. Clean the data before training.")
        self.tensors: dict[str, Tensor] = dict(tensors)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Return the rows asked for."""
        return {name: tensor[indices.to(tensor.device)] for name, tensor in self.tensors.items()}


class _Items:
    """A map-style data set whose items are mappings, as a split."""

    def __init__(self, items: Any) -> None:  # noqa: ANN401 - any map-style data set
        self.items = items
        if len(items) and not isinstance(items[0], Mapping):
            raise DataError(
                f"Items of the data set are of type {type(items[0]).__name__}; expected named "
                "tensors such as {'images': tensor}: their names are the model's arguments."
            )

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Return the items asked for, stacked."""
        try:
            batch: dict[str, Tensor] = default_collate([self.items[int(i)] for i in indices])
        except (RuntimeError, TypeError, KeyError) as error:
            raise DataError(
                f"Items {indices.tolist()[:8]}… of the data set do not stack: {error}. All must "
                "have the same names and shapes."
            ) from error
        return batch


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

"""Named tensors with a common first axis, that of the data."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from ..zoo.errors import DataError

__all__ = ["Tensors", "count_rows", "kinds_of"]


class Tensors:
    """Named tensors with a common first axis, as a split.

    Raises:
        DataError: They are not that, or hold values that are not finite.
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        count_rows(tensors)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise DataError(f"{name!r} holds NaN or infinity. Clean the data before training.")
        self.tensors: dict[str, Tensor] = dict(tensors)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, indices: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Return the rows asked for."""
        return {name: tensor[indices.to(tensor.device)] for name, tensor in self.tensors.items()}


def count_rows(tensors: Mapping[str, Any]) -> int:
    """Return the common length of named tensors, once they are known to be that.

    Raises:
        DataError: They are no tensors by name, or their first axes differ.
    """
    if not isinstance(tensors, Mapping):
        raise DataError(
            f"Found a batch of type {type(tensors).__name__}; expected tensors by name, such "
            "as {'images': tensor}."
        )
    if not tensors:
        raise DataError("The data set is empty: it holds no tensor.")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or name == "size":
            raise DataError(
                f"Found a tensor called {name!r}. Tensors are arguments of the model by their "
                "names, beside `size`, the number of all data. Choose another name."
            )
        if not _has_rows(tensor):
            raise DataError(
                f"{name!r} is a {_named(tensor)}; expected a dense tensor of plain numbers "
                "whose first axis is that of the data. Convert arrays with torch.as_tensor, "
                "and other numbers with `.float()`."
            )
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"Tensors of one data set must have one length, found {lengths}.")
    return next(iter(lengths.values()))


def kinds_of(batch: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shape of a datum, and its type, by name."""
    return {name: (tuple(tensor.shape[1:]), tensor.dtype) for name, tensor in batch.items()}


def _has_rows(tensor: object) -> bool:
    """Tell whether this is a tensor whose rows can be read, and whose numbers compared."""
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
        return False
    if tensor.is_meta or tensor.is_nested or tensor.is_quantized or tensor.ndim == 0:
        return False
    return not tensor.is_floating_point() or tensor.itemsize > 1  # 8 bits are for storage only


def _named(found: object) -> str:
    """Return the type of something, and what kind of tensor it is."""
    if not isinstance(found, Tensor):
        return type(found).__name__
    return (
        f"{found.ndim}-dimensional tensor of {found.dtype} in layout {found.layout} on "
        f"{found.device}"
    )

"""Checks of observed data that models of images share."""

import math
from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor

from .errors import DataError

__all__ = ["check_elements", "check_fields", "check_levels", "check_points", "check_sequences"]

_ENOUGH = 16  # data of which the same value in all says something about a feature
_FEW_VALUES = 257  # those of an 8-bit image, and one to spare
_SLACK = 1e-2  # of a grey level, for rounding


def check_sequences(
    batch: Mapping[str, Tensor],
    image_shape: tuple[int, int, int],
    *,
    known: Set[str],
    minimum_frames: int = 1,
) -> None:
    """Refuse tensors that are no sequences of images of the shape a model was built for.

    Args:
        batch: What was given; `images` should be `(sequence, frame, channel, height, width)`.
        image_shape: Channels, height and width that the model expects.
        known: Names of all the tensors that the model takes.
        minimum_frames: Least number of frames.

    Raises:
        DataError: A name is missing or unknown, the rank, the shape, the type or the range is
            wrong, or there are too few frames.
    """
    if "images" not in batch or not batch.keys() <= known:
        raise DataError(
            f"Found tensors {sorted(batch)}, but `images` is needed and only {sorted(known)} are "
            "known to this model. Rename or drop the others."
        )
    images = batch["images"]
    shape = tuple(images.shape)
    wanted = f"(sequence, frame, {', '.join(map(str, image_shape))})"
    if images.ndim != 5 or shape[2:] != tuple(image_shape):
        raise DataError(
            f"Found images of shape {shape}, but this model was built for {wanted}. Reshape the "
            "data (channels first), or build the model with their image_shape."
        )
    if shape[1] < minimum_frames:
        raise DataError(
            f"Found {shape[1]} as the number of frames, but at least {minimum_frames} are needed. "
            "Give longer sequences."
        )
    if images.dtype not in (torch.float32, torch.float64):
        raise DataError(
            f"Found images of type {images.dtype}, but floats in [0, 1] are needed: divide bytes "
            "by 255."
        )
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        low, high = float(images.min()), float(images.max())
        raise DataError(
            f"Found images with values from {low:.3g} to {high:.3g} (or NaN), but [0, 1] is "
            "needed. Rescale or repair them."
        )


def check_fields(field: Tensor, count: int, num_fields: int) -> None:
    """Refuse labels that do not say which one of `num_fields` fields moves each sequence.

    Args:
        field: The labels.
        count: Number of sequences.
        num_fields: Number of fields; 0 if the model lets several move, so that no label is right.

    Raises:
        DataError: The model takes no labels, or the type, the shape or the range is wrong.
    """
    if num_fields == 0:
        raise DataError(
            "Found which field moves each sequence, but the model lets several move. Build it with "
            "activity='one', or leave `field` out of the data."
        )
    whole = field.dtype == torch.int64 and tuple(field.shape) == (count,)
    if not whole or bool(((field < 0) | (field >= num_fields)).any()):
        raise DataError(
            f"Found `field` of type {field.dtype} and shape {tuple(field.shape)}; expected an "
            f"int64 from 0 to {num_fields - 1} for each of {count} sequences."
        )


def check_points(
    batch: Mapping[str, Tensor], name: str, shape: tuple[int, ...], *, continuous: bool
) -> None:
    """Refuse tensors that are no data of one shape.

    Args:
        batch: What was given.
        name: Of the only tensor that the model takes.
        shape: Shape of a datum that it was built for.
        continuous: Whether the model needs data that have a density.

    Raises:
        DataError: The name, the shape or the type is wrong, a number is not finite, or there is no
            density.
    """
    if batch.keys() != {name}:
        raise DataError(
            f"Found tensors {sorted(batch)}, but this model takes one, called {name!r}. Rename it "
            "and drop the others."
        )
    x = batch[name]
    if tuple(x.shape[1:]) != shape or x.ndim != 1 + len(shape):
        raise DataError(
            f"Found {name} of shape {tuple(x.shape)}, but this model was built for (datum, "
            f"{', '.join(map(str, shape))}). Reshape the data, or build it with their image_shape."
        )
    if x.dtype not in (torch.float32, torch.float64):
        raise DataError(f"Found {name} of type {x.dtype}, but floats are needed. Convert them.")
    if bad := int((~x.isfinite()).sum()):
        raise DataError(
            f"Found {bad} numbers in {name} that are NaN or infinite. Remove or repair these data."
        )
    if continuous and len(x) >= _ENOUGH:
        _check_density(x.flatten(1), name)


def _check_density(x: Tensor, name: str) -> None:
    advice = "Give the model noise, which spreads them out, or repair the data."
    if bool((constant := (x == x[0]).all(0)).any()):
        found = constant.nonzero().flatten().tolist()[:8]
        raise DataError(f"Features {found} of {name} are the same for all data. {advice}")
    kept, counts = x.unique(dim=1, return_counts=True)
    if kept.shape[1] < x.shape[1]:
        raise DataError(
            f"{int(counts.sum() - len(counts))} features of {name} are copies of others. {advice}"
        )
    if 10 * x.unique().numel() <= x.numel() and x.unique().numel() <= _FEW_VALUES:
        raise DataError(
            f"{name} takes {x.unique().numel()} values only, so that its density is unbounded. "
            f"{advice}"
        )


def check_levels(x: Tensor, bits: int, name: str) -> None:
    """Refuse numbers that are no grey levels of images with so many bits.

    Args:
        x: What should be multiples of 1 / (2^bits - 1), in [0, 1].
        bits: How many.
        name: Of the tensor.

    Raises:
        DataError: Some are not.
    """
    most = 2**bits - 1
    level = x * most
    bad = ((level - level.round()).abs() > _SLACK) | (level < -_SLACK) | (level > most + _SLACK)
    if bool(bad.any()):
        raise DataError(
            f"Found {float(x[bad][0]):.6g} in {name}, which is none of the {most + 1} levels of "
            f"images of {bits} bits in [0, 1], and {int(bad.sum())} such numbers in all. Divide "
            f"whole numbers by {most}, or build the model with bits=None and noise."
        )


def check_elements(element: Tensor, shape: tuple[int, ...], orders: Sequence[int]) -> None:
    """Refuse labels that do not say which element of a group acts in each sequence.

    Args:
        element: The labels.
        shape: The shape that they should have, that of sequences first.
        orders: Of the group's factors.

    Raises:
        DataError: The type, the shape or the range is wrong.
    """
    size = math.prod(orders)
    if element.dtype != torch.int64 or tuple(element.shape) != shape:
        raise DataError(
            f"Found `transformation` of type {element.dtype} and shape {tuple(element.shape)}; "
            f"expected numbers of elements, int64, of shape {shape}."
        )
    if bool(((element < 0) | (element >= size)).any()):
        raise DataError(
            f"Found elements from {int(element.min())} to {int(element.max())}, but the model's "
            f"group, with orders {tuple(orders)}, has 0 to {size - 1}. Build the model with the "
            "orders of the data."
        )

"""Checks of observed tasks: points with labels of several kinds."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .errors import DataError
from .memory import memory_of_machine

__all__ = ["check_room", "check_tasks"]

_NAMES = ("inputs", "labels", "observed", "classes")
_ENOUGH = 16  # labels that are numbers, of which the same in all says something about a task
_MANY = 64  # points likewise about an input; fewer are a support set, where it may be rare
_SHOWN = 8
_FLOATS = (torch.float32, torch.float64)


def check_tasks(
    batch: Mapping[str, Tensor], input_shape: tuple[int, ...], num_outputs: int
) -> None:
    """Refuse tensors that are no tasks, or tasks from which no head can be learned.

    Args:
        batch: What was given: `inputs` (task, point, ...), `labels` and `observed` (task, point),
            `classes` (task).
        input_shape: Shape of a point that the model expects.
        num_outputs: Number of outputs of its heads.

    Raises:
        DataError: A name, a shape or a type is wrong; a number is not finite; a task has no label,
            one class only, fewer labels than classes, or labels of another kind than it says; or
            an input is the same for all points.
    """
    if batch.keys() != {*_NAMES}:
        raise DataError(
            f"Found tensors {sorted(batch)}, but tasks are {', '.join(_NAMES)}. Rename or drop the "
            "others; `observed` is all True where every point has a label."
        )
    _check_shapes(batch, input_shape)
    _check_numbers(batch)
    _check_kinds(batch["classes"], num_outputs)
    _check_labels(batch["labels"], batch["observed"], batch["classes"])
    _check_inputs(batch["inputs"], batch["observed"], input_shape)


def check_room(tasks: int, points: int, outputs: int, features: int) -> None:
    """Refuse more tasks than memory holds while their heads are inferred together.

    Raises:
        DataError: There is less memory than they take.
    """
    needed = 4 * tasks * outputs * (features + 1) * (4 * points + 6 * (features + 1))
    there = memory_of_machine()
    if there is not None and needed > there:
        raise DataError(
            f"Found {tasks} tasks of {points} points: heads of {outputs} outputs and {features} "
            f"features take about {needed / 2**30:,.0f} GiB for all of them at once, but this "
            f"machine has {there / 2**30:,.0f} GiB. Take fewer tasks at a time, by `batch_size`, "
            "or fewer points of each."
        )


def _check_shapes(batch: Mapping[str, Tensor], input_shape: tuple[int, ...]) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in batch.items()}
    inputs, places = shapes["inputs"], shapes["inputs"][:2]
    fits = (
        len(inputs) == 2 + len(input_shape)
        and inputs[2:] == tuple(input_shape)
        and shapes["labels"] == shapes["observed"] == places
        and shapes["classes"] == places[:1]
    )
    if not fits:
        raise DataError(
            f"Found {shapes}, but this model was built for inputs (task, point, "
            f"{', '.join(map(str, input_shape))}), labels and observed (task, point) and classes "
            "(task). Pad tasks with fewer points, or build the model with their input_shape."
        )
    types = {name: tensor.dtype for name, tensor in batch.items()}
    right = types["inputs"] in _FLOATS and types["labels"] in _FLOATS
    if not (right and types["observed"] == torch.bool and types["classes"] == torch.int64):
        raise DataError(
            f"Found types {types}; expected floats for inputs and labels (classes by number), bool "
            "for observed and int64 for classes. Convert them."
        )


def _check_numbers(batch: Mapping[str, Tensor]) -> None:
    for name in ("inputs", "labels"):
        bad = ~batch[name].isfinite().flatten(1).all(1)
        if bool(bad.any()):
            raise DataError(
                f"Found NaN or infinite numbers in the {name} of {_tasks(bad)}. Repair these "
                "points; for a label that is missing, give 0 and observed=False."
            )


def _check_kinds(classes: Tensor, num_outputs: int) -> None:
    wrong = (classes < 0) | (classes == 1) | ((classes > 2) & (classes > num_outputs))
    if bool(wrong.any()):
        raise DataError(
            f"Found {_tasks(wrong)} with classes={classes[wrong].tolist()[:_SHOWN]}; expected 0 "
            f"for numbers, 2 for yes or no, or 3 to {num_outputs}, the model's num_outputs, for "
            "classes. Build the model with the largest number of classes."
        )


def _check_labels(labels: Tensor, observed: Tensor, classes: Tensor) -> None:
    count = observed.sum(1)
    _refuse(count == 0, "without any label", "Drop them, or give some labels.")
    kind = classes.unsqueeze(1)
    whole = (labels == labels.round()) & (labels >= 0) & (labels < kind)
    wrong = ((kind > 0) & observed & ~whole).any(1)
    _refuse(
        wrong,
        "whose labels are of another kind than their classes say",
        "Number the classes 0 to C - 1, or set classes=0 for labels that are numbers.",
    )
    _refuse(
        (classes > 2) & (count < classes),
        "with fewer labels than classes",
        "Give more labels, or drop these tasks.",
    )
    least = torch.where(observed, labels, torch.inf).amin(1)
    most = torch.where(observed, labels, -torch.inf).amax(1)
    _refuse(
        (least == most) & ((classes > 0) | (count >= _ENOUGH)),
        "whose labels are all the same",
        "Such a task says nothing of any feature: drop it, or give labels of other classes.",
    )


def _check_inputs(inputs: Tensor, observed: Tensor, input_shape: tuple[int, ...]) -> None:
    points = inputs[observed].flatten(1)
    if len(points) < _MANY:
        return
    same = (points == points[0]).all(0)
    vector = len(input_shape) == 1
    if bool(same.any() if vector else same.all()):
        found = same.nonzero().flatten().tolist()
        raise DataError(
            f"{len(found)} of {math.prod(input_shape)} inputs, numbers {found[:_SHOWN]}, are the "
            "same for all labelled points. Drop them, or repair the data."
        )


def _refuse(wrong: Tensor, what: str, advice: str) -> None:
    if bool(wrong.any()):
        raise DataError(f"Found {_tasks(wrong)} {what}. {advice}")


def _tasks(wrong: Tensor) -> str:
    numbers = wrong.nonzero().flatten().tolist()
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"task{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:_SHOWN]))}{more}"

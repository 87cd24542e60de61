"""Tasks as data: each has points of its own, some of which have a label."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import DataError
from .images import to_float

__all__ = ["PointsOf", "TaskSplit", "TaskTruth", "padded_tasks"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TaskTruth:
    """What made the labels of tasks; models and guides never see it.

    Attributes:
        factor_value: True factors of each point; None where these are not known.
        support: Which factors, or labels, those of a task depend on; None where that is not known.
        weight: By how much; zero outside of the support. None where that is not known.
        factors: Names of the factors, or of the labels that tasks are made of.
        units: Of the factors; they have none.
        dims: Names of the axes of these.
    """

    factor_value: Float[Tensor, "task point factor"] | None = None
    support: Bool[Tensor, "task factor"] | None = None
    weight: Float[Tensor, "task factor"] | None = None
    factors: tuple[str, ...] = ()
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {
            "factor_value": ("task", "point", "factor"),
            "support": ("task", "factor"),
            "weight": ("task", "factor"),
        }
    )

    def some(self, tasks: Int[Tensor, " part"]) -> "TaskTruth":
        """Return that of some tasks."""
        rows: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[tasks]
            for name in self.dims
        }
        return dataclasses.replace(self, **rows)


class PointsOf:
    """Points of tasks that are drawn from common ones, gathered when they are asked for.

    Args:
        source: All points; uint8 pixels become floats in [0, 1].
        rows: Which of them each task has; -1 for padding, whose inputs are zero.
    """

    def __init__(self, source: Shaped[Tensor, "row ..."], rows: Int[Tensor, "task point"]) -> None:
        self._source, self._rows = source, rows

    def __getitem__(self, tasks: Int[Tensor, " batch"]) -> Float[Tensor, "batch point ..."]:
        rows = self._rows[tasks]
        points = to_float(self._source[rows.clamp(min=0)])
        absent = (rows < 0).reshape(*rows.shape, *[1] * (points.ndim - 2))
        return points.masked_fill(absent, 0.0)


class TaskSplit(Dataset[dict[str, Tensor]]):
    """Some tasks: the tensors `inputs`, `labels`, `observed` and `classes`.

    Args:
        inputs: What points are made of, all at once or gathered when asked for.
        labels: A number or the index of a class, 0 where there is no label.
        observed: Which points have a label.
        classes: 0 for tasks whose labels are numbers, 2 for yes or no, C for C classes.
        truth: What made them, where that is known.

    Attributes:
        truth: What made the tasks, in order; None where that is not known.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "task point ..."] | PointsOf,
        labels: Float[Tensor, "task point"],
        observed: Bool[Tensor, "task point"],
        classes: Int[Tensor, " task"],
        truth: TaskTruth | None = None,
    ) -> None:
        self._inputs, self.truth = inputs, truth
        self._tensors = {"labels": labels, "observed": observed, "classes": classes}

    def __len__(self) -> int:
        return len(self._tensors["classes"])

    def batch(self, indices: Int[Tensor, " batch"] | Sequence[int]) -> dict[str, Tensor]:
        """Return the tasks at `indices`.

        Raises:
            IndexError: An index is outside of the split.
        """
        rows = torch.as_tensor(indices, dtype=torch.long)
        if len(rows) and not bool(((rows >= -len(self)) & (rows < len(self))).all()):
            raise IndexError(f"An index is outside of this split of {len(self)} tasks.")
        rows = rows % max(len(self), 1)
        return {"inputs": self._inputs[rows]} | {n: each[rows] for n, each in self._tensors.items()}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.batch([index]).items()}

    @property
    def observations(self) -> dict[str, Tensor]:
        """All the tensors of this split that a model may see."""
        return self.batch(torch.arange(len(self)))

    def first(self, count: int) -> "TaskSplit":
        """Return the first of the tasks."""
        return self.some(torch.arange(min(count, len(self))))

    def some(self, tasks: Int[Tensor, " part"]) -> "TaskSplit":
        """Return the tasks at these indices."""
        truth = None if self.truth is None else self.truth.some(tasks)
        return TaskSplit(**self.batch(tasks), truth=truth)

    def with_labels(self, count: int) -> "TaskSplit":
        """Return the same tasks with the first `count` of their labels alone.

        Raises:
            DataError: It is below 1.
        """
        if count < 1:
            raise DataError(f"Found count={count}, but a task needs at least 1 label.")
        kept = self._tensors["observed"] & (self._tensors["observed"].cumsum(1) <= count)
        tensors = {**self._tensors, "observed": kept}
        return TaskSplit(self._inputs, **tensors, truth=self.truth)


def padded_tasks(
    inputs: Sequence[Float[Tensor, "_ ..."]],
    labels: Sequence[Float[Tensor, " _"]],
    classes: Sequence[int],
) -> TaskSplit:
    """Return tasks of different numbers of points, padded with zeros that have no label.

    Args:
        inputs: The points of each task.
        labels: Their labels.
        classes: The kind of each task.

    Raises:
        DataError: There is no task, or numbers of points and labels differ.
    """
    sizes = [len(each) for each in inputs]
    if not sizes or sizes != [len(each) for each in labels] or len(sizes) != len(classes):
        raise DataError(
            f"Found points of {sizes} and labels of {[len(each) for each in labels]} for "
            f"{len(classes)} tasks. Give at least one task, with a label for each point."
        )
    return TaskSplit(
        torch.nn.utils.rnn.pad_sequence(list(inputs), batch_first=True),
        torch.nn.utils.rnn.pad_sequence(list(labels), batch_first=True),
        torch.arange(max(sizes)) < torch.tensor(sizes)[:, None],
        torch.tensor(list(classes)),
    )

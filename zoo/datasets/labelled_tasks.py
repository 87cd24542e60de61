"""Tasks made of points that have several labels: one label each, or a sum of a few."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor

from ..errors import DataError
from .catalogue import load_images
from .correlated_points import correlated
from .factor_tasks import FactorTasks
from .images import Images
from .labelled_points import LabelledPoints, Scaling, kinds_of, read_table, standardised
from .task_split import PointsOf, TaskSplit, TaskTruth

__all__ = ["LabelledTasks", "open_tasks"]

_TEST_TASKS = 200
_SPLITS = ("train", "validation", "test")


class LabelledTasks:
    """Tasks of labelled points, in three splits that share no points.

    A task draws a label and some points that have it; its labels are numbers, scaled to a variance
    of one, or classes. With `support_sizes` it asks instead whether a weighted sum of a few labels,
    taken as numbers, is above its median: weights are as in `FactorTasks`.

    Args:
        parts: Points for training, validation and test.
        kinds: What labels are, see `kinds_of`.
        num_tasks: Of the training split.
        points: Of each task, or as many as have its label.
        classes: Draw so many classes of a label for each task; None: all of them.
        support_sizes: How many labels a task may depend on; None: one, by itself.
        held_out: Whether training and validation tasks leave out points whose first two labels are
            both above their medians; these make the split `unseen`.
        correlation: Of the first two labels in training and validation tasks, by leaving points
            out, see `correlated`; 0 leaves them as they are. Test tasks have all points.
        test_tasks: Of each other split.
        factors: Whether labels are the factors that points are made of, which codes are scored
            against; else it is only known which label a task is about.
        scaling: Mean and standard deviation of inputs before they were scaled, see `scaled`.
        seed: Of all that is drawn.
        name: For records and figures.

    Attributes:
        label_scales: Mean and standard deviation of each label that is a number: predictions times
            the one, plus the other, are in the label's own unit.
        train: Training tasks.
        validation: Tasks on other points.
        test: Tasks on other points.
        unseen: Tasks on test points of the combination that is held out; None if none is.

    Raises:
        DataError: An option is out of its range, or there are too few points or classes, or a
            number that points are made of is the same in all.
    """

    def __init__(
        self,
        parts: tuple[LabelledPoints, LabelledPoints, LabelledPoints],
        *,
        kinds: Mapping[str, int] | None = None,
        num_tasks: int = 512,
        points: int = 32,
        classes: int | None = None,
        support_sizes: Sequence[int] | None = None,
        held_out: bool = False,
        correlation: float = 0.0,
        test_tasks: int = _TEST_TASKS,
        factors: bool = True,
        scaling: Scaling | None = None,
        seed: int = 0,
        name: str = "tasks",
    ) -> None:
        parts[0].check_changing()
        known = kinds_of(parts[0], kinds)
        self.name, self.names, self.points = name, parts[0].names, points
        self.input_shape = tuple(parts[0].inputs.shape[1:])
        self.support_sizes = None if support_sizes is None else tuple(support_sizes)
        if min(num_tasks, test_tasks) < 1 or points < 2:
            raise DataError(
                f"Found num_tasks={num_tasks}, test_tasks={test_tasks} and points={points}; "
                "expected at least 1, 1 and 2."
            )
        if classes is not None and classes < 2:
            raise DataError(f"Found classes={classes}, but a task needs at least 2.")
        if self.support_sizes is not None and not all(
            1 <= size <= len(self.names) for size in self.support_sizes or (0,)
        ):
            raise DataError(
                f"Found support_sizes={self.support_sizes}; expected 1 to {len(self.names)}, the "
                "number of labels."
            )
        self.kinds = {
            each: min(kind, classes) if classes and kind else kind for each, kind in known.items()
        }
        if (most := max(self.kinds.values())) > points and self.support_sizes is None:
            raise DataError(
                f"Found points={points}, fewer than the {most} classes of a label. Give more "
                "points, or fewer `classes` of each task."
            )
        self._scales, self._scaling, self._factors = _scales(parts[0].labels), scaling, factors
        self.label_scales = {
            each: (float(mean), float(scale))
            for each, mean, scale in zip(self.names, *self._scales, strict=True)
            if self.kinds[each] == 0
        }
        if not 0 <= correlation < 1:
            raise DataError(f"Found correlation={correlation}; expected 0 to below 1.")
        seen = [_without_combination(part, parts[0]) if held_out else part for part in parts[:2]]
        if correlation:
            thin = Generator().manual_seed(4 * seed + len(_SPLITS))
            seen = [correlated(part, correlation, thin) for part in seen]
        made = zip(_SPLITS, (*seen, parts[2]), (num_tasks, test_tasks, test_tasks), strict=True)
        self.train, self.validation, self.test = (
            self._tasks(part, count, Generator().manual_seed(4 * seed + _SPLITS.index(split)))
            for split, part, count in made
        )
        self.unseen = None
        if held_out:
            rest = parts[2].rows(_combined(parts[2], parts[0]))
            self.unseen = self._tasks(rest, test_tasks, Generator().manual_seed(4 * seed + 3))

    @property
    def num_outputs(self) -> int:
        """How many outputs heads need: 1, or the largest number of classes above two."""
        if self.support_sizes is not None:
            return 1
        return max(1, *(kind for kind in (1, *self.kinds.values()) if kind != 2))

    def scaled(self, inputs: Shaped[np.ndarray | Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return points in the units of the file that tasks are made of as models take them.

        Args:
            inputs: Points, their columns in the order of the file; each of the shape `input_shape`.

        Raises:
            DataError: Points have another number of columns.
        """
        points = torch.as_tensor(inputs)
        points = points if points.is_floating_point() else points.float()
        if points.shape[points.ndim - len(self.input_shape) :] != self.input_shape:
            raise DataError(
                f"Found points of shape {tuple(points.shape)}, but each of {self.name} is of shape "
                f"{self.input_shape}. Give the columns of its file that are no labels."
            )
        if self._scaling is None:
            return points
        return (points - self._scaling.mean.to(points)) / self._scaling.scale.to(points)

    def _tasks(self, part: LabelledPoints, count: int, generator: Generator) -> TaskSplit:
        draw = self._of_one if self.support_sizes is None else self._of_several
        asked = self._asked(part)
        drawn = [draw(part, asked, generator) for _ in range(count)]
        rows, labels, classes, supports = zip(*drawn, strict=True)
        padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=-1)
        observed = padded >= 0
        support = torch.stack(supports)
        labels_of = part.labels[padded.clamp(min=0)]
        known = self._factors and not bool(labels_of.isnan().any())
        values = labels_of if known else None
        truth = TaskTruth(factor_value=values, support=support, factors=self.names)
        return TaskSplit(
            PointsOf(part.inputs, padded),
            torch.nn.utils.rnn.pad_sequence(list(labels), batch_first=True),
            observed,
            torch.tensor(classes),
            truth,
        )

    def _asked(self, part: LabelledPoints) -> Int[Tensor, " label"]:
        """Return labels of at least two values in this part, of which tasks can be made."""
        told = [len(column[~column.isnan()].unique()) > 1 for column in part.labels.T]
        if not any(told):
            raise DataError(
                f"Found no label of {self.name} with two values in a split of {len(part)} points. "
                "Give more points: a twentieth is for validation, three times as many for testing."
            )
        return torch.tensor(told).nonzero().flatten()

    def _of_one(
        self, part: LabelledPoints, asked: Int[Tensor, " label"], generator: Generator
    ) -> tuple[Int[Tensor, " point"], Float[Tensor, " point"], int, Tensor]:
        """Draw a task of one label; a point of each class comes first."""
        chosen = int(asked[torch.randint(len(asked), (), generator=generator)])
        column, name = part.labels[:, chosen], self.names[chosen]
        kind = self.kinds[name]
        support = torch.arange(len(self.names)) == chosen
        if kind == 0:
            rows = _some((~column.isnan()).nonzero().flatten(), self.points, generator)
            if bool((column[rows] == column[rows[0]]).all()):  # of a number that rarely differs
                others = ~column.isnan() & (column != column[rows[0]])
                rows[-1] = _some(others.nonzero().flatten(), 1, generator)[0]
            mean, scale = self._scales[:, chosen]
            return rows, (column[rows] - mean) / scale, 0, support
        values = column[~column.isnan()].unique()
        kind = min(kind, len(values))
        order = torch.randperm(len(values), generator=generator)[:kind]
        values = values[order].sort().values
        own = column[:, None] == values
        first = torch.stack([_some(each.nonzero().flatten(), 1, generator)[0] for each in own.T])
        rest = own.any(1)
        rest[first] = False
        more = _some(rest.nonzero().flatten(), self.points - kind, generator)
        rows = torch.cat([first[torch.randperm(kind, generator=generator)], more])
        return rows, torch.searchsorted(values, column[rows]).float(), kind, support

    def _of_several(
        self, part: LabelledPoints, asked: Int[Tensor, " label"], generator: Generator
    ) -> tuple[Int[Tensor, " point"], Float[Tensor, " point"], int, Tensor]:
        """Draw a task about the sum of a few labels."""
        sizes = self.support_sizes or (1,)
        size = sizes[int(torch.randint(len(sizes), (), generator=generator))]
        chosen = asked[torch.randperm(len(asked), generator=generator)[:size]]
        weight = 0.5 + torch.rand(len(chosen), generator=generator)
        weight = weight * (2 * torch.randint(2, weight.shape, generator=generator) - 1)
        mean, scale = self._scales[:, chosen]
        score = ((part.labels[:, chosen] - mean) / scale) @ weight
        known = (~score.isnan()).nonzero().flatten()
        above = score > score[known].median()
        if not bool(above[known].any()):  # a label of two classes, more often the higher one
            above = score >= score[known].median()
        rows = _balanced(known, above, self.points, generator)
        support = torch.zeros(len(self.names), dtype=torch.bool).index_fill(0, chosen, True)
        return rows, above[rows].float(), 2, support


def _scales(labels: Float[Tensor, "point label"]) -> Float[Tensor, "2 label"]:
    """Return mean and standard deviation of each label."""
    mean = labels.nanmean(0)
    deviation = (labels - mean).square().nanmean(0).sqrt()
    return torch.stack([mean, deviation.clamp(min=1e-8)])


def _combined(part: LabelledPoints, train: LabelledPoints) -> Tensor:
    """Return which points have both of the first two labels above the training median."""
    if part.labels.shape[1] < 2:
        raise DataError("Found a single label, but a combination of two is to be held out.")
    middle = train.labels[:, :2].nanmedian(0).values
    highest = train.labels[:, :2].nan_to_num(-torch.inf).amax(0)
    above = part.labels[:, :2] > torch.where(middle < highest, middle, middle - 0.5)
    return above.all(1)


def _without_combination(part: LabelledPoints, train: LabelledPoints) -> LabelledPoints:
    return part.rows(~_combined(part, train))


def _some(rows: Int[Tensor, " row"], count: int, generator: Generator) -> Int[Tensor, " kept"]:
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def _balanced(
    rows: Int[Tensor, " row"], above: Tensor, count: int, generator: Generator
) -> Int[Tensor, " kept"]:
    """Return some rows, of which the first two are one of either kind."""
    rows = _some(rows, len(rows), generator)
    is_above = above[rows]
    if not bool(is_above.any()) or bool(is_above.all()):
        raise DataError("Found a sum of labels that is the same for all points of a split.")
    first = torch.stack([is_above.nonzero()[0, 0], (~is_above).nonzero()[0, 0]])
    rest = torch.ones(len(rows), dtype=torch.bool).index_fill(0, first, False)
    return torch.cat([rows[first], rows[rest][: count - 2]])


def open_tasks(
    name: str,
    data_dir: str | Path | None = None,
    *,
    seed: int = 0,
    limit: int | None = None,
    num_tasks: int = 512,
    points: int | None = None,
    classes: int | None = None,
    halved: int = 0,
) -> FactorTasks | LabelledTasks:
    """Return tasks ready for training.

    Args:
        name: "factors" or "ellipses", which are made; "sprites", whose attributes, action and
            direction are labels; any other set of images that has labels, by name; or the path of a
            file of points and labels, see `read_table`, whose numbers are scaled to a mean of zero
            and a variance of one.
        data_dir: Folder of the published files.
        seed: Of all that is drawn.
        limit: Use so many images or points, evenly spaced, or make so many tasks of each split.
        num_tasks: Of the training split.
        points: Of each task; None: 32, or 128 vectors that are made.
        classes: Draw so many classes of a label for each task; None: all, or 2 of what is made.
        halved: Halve the height and width of published images so many times.

    Raises:
        DataError: The name is wrong, files are missing or bad, or there are no labels.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: expected 1 or more.")
    if points is not None and points < 2:
        raise DataError(f"points={points}: expected 2 or more.")
    if name in ("factors", "ellipses"):
        if halved:
            raise DataError(f"{name} are made at their size. Leave out halved={halved}.")
        images = name == "ellipses"
        return FactorTasks(
            images=images,
            num_tasks=min(num_tasks, limit or num_tasks),
            test_tasks=min(_TEST_TASKS, limit or _TEST_TASKS),
            points=points or (32 if images else 128),
            kinds=(2,) if classes is None else (classes,),
            seed=seed,
        )
    parts, scaling, own = _parts(name, data_dir, seed, limit), None, _is_table(name)
    if own:
        parts, scaling = standardised(parts)
    if halved:
        parts = parts[0].halved(halved), parts[1].halved(halved), parts[2].halved(halved)
    return LabelledTasks(
        parts,
        num_tasks=num_tasks,
        points=points or 32,
        classes=classes,
        factors=not own,
        scaling=scaling,
        seed=seed,
        name=Path(name).stem,
    )


def _is_table(name: str) -> bool:
    return Path(name).suffix.lower() in (".csv", ".npz")


def _parts(
    name: str, data_dir: str | Path | None, seed: int, limit: int | None
) -> tuple[LabelledPoints, LabelledPoints, LabelledPoints]:
    if _is_table(name):
        return read_table(name).spaced(limit).divided(seed)
    source = load_images(name, data_dir, seed=seed)
    if isinstance(source, Images):
        return LabelledPoints.of_images(source.spaced(limit)).divided(seed)
    return LabelledPoints.of_frames(source.shortened(limit=limit))

"""Points with several labels each, some of them missing, and what kind each label is."""

import csv
import dataclasses
import zipfile
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

from ..errors import DataError
from .files import NPZ_MAGIC, magic_of, only_data_errors, read_npz
from .images import Images, spaced, to_float
from .sequences import ImageSequences, SequenceSplit
from .splits import divide

__all__ = ["LabelledPoints", "Scaling", "kinds_of", "read_table", "standardised"]

_MOST_CLASSES = 20  # whole numbers of more distinct values than this are taken for numbers
_LABEL = "label:"
_MISSING = ("na", "nan", "n/a", "null", "none")
_SHARES = (0.8, 0.05, 0.15)
_SHOWN = 5
_TOGETHER = 1024


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPoints:
    """Points, each with some labels.

    Attributes:
        inputs: What points are made of: numbers, or pixels of images as uint8 or in [0, 1].
        labels: One column for each label; NaN where it is missing.
        names: Of the labels.

    Raises:
        DataError: Numbers of points or names differ, or an input is not finite, or a label is
            infinite.
    """

    inputs: Shaped[Tensor, "point ..."]
    labels: Float[Tensor, "point label"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels) or self.labels.shape[1:] != (len(self.names),):
            raise DataError(
                f"Found {len(self.inputs)} points, labels of shape {tuple(self.labels.shape)} and "
                f"{len(self.names)} names of labels. Give (point, label) labels of all points."
            )
        if len(self.inputs) == 0 or len(self.names) == 0:
            raise DataError("Found no points or no labels. Give some of both.")
        if bad := int((~self.inputs.flatten(1).isfinite()).any(1).sum()):
            raise DataError(f"Found {bad} points with NaN or infinite inputs. Repair or drop them.")
        for name, column in zip(self.names, self.labels.T, strict=True):
            if bool(column.isinf().any()):
                raise DataError(f"Label {name!r}: found infinite values. Repair or drop them.")

    def __len__(self) -> int:
        return len(self.inputs)

    def check_changing(self) -> None:
        """Raise `DataError` if a number is the same in all points, and so says nothing."""
        if self.inputs.ndim != 2 or len(self) < 2:
            return
        same = (self.inputs == self.inputs[0]).all(0)
        if bool(same.any()):
            found = same.nonzero().flatten().tolist()
            raise DataError(
                f"Found inputs {found[:_SHOWN]} the same in all points. Leave these columns out."
            )

    def rows(self, rows: Tensor) -> "LabelledPoints":
        """Return some of the points."""
        return LabelledPoints(inputs=self.inputs[rows], labels=self.labels[rows], names=self.names)

    def spaced(self, limit: int | None) -> "LabelledPoints":
        """Return at most `limit` of the points, evenly spaced."""
        return self if limit is None else self.rows(spaced(len(self), limit))

    def halved(self, times: int = 1) -> "LabelledPoints":
        """Return images of half the height and width, by means of 2 x 2 pixels, so many times.

        Raises:
            DataError: Points are no images, or these are too small.
        """
        if self.inputs.ndim != 4 or times < 0 or min(self.inputs.shape[-2:]) < 2**times:
            raise DataError(
                f"Found points of shape {tuple(self.inputs.shape[1:])} to be halved {times} times. "
                "Only images can be, and to no less than one pixel."
            )
        if times == 0:
            return self
        parts = [avg_pool2d(to_float(part), 2**times) for part in self.inputs.split(_TOGETHER)]
        pixels = torch.cat([(255 * part).round().byte() for part in parts])
        return LabelledPoints(inputs=pixels, labels=self.labels, names=self.names)

    def divided(self, seed: int) -> tuple["LabelledPoints", "LabelledPoints", "LabelledPoints"]:
        """Return points for training, validation and test, drawn at random."""
        parts = divide(len(self), _SHARES, Generator().manual_seed(seed), what="points")
        train, validation, test = (self.rows(part) for part in parts)
        return train, validation, test

    @classmethod
    def of_images(cls, images: Images) -> "LabelledPoints":
        """Return images that have labels.

        Raises:
            DataError: They have none.
        """
        if images.labels is None:
            raise DataError(f"{images.name}: found no labels, of which tasks are made.")
        labels = images.labels.reshape(len(images), -1).double()
        changing = [k for k in range(labels.shape[1]) if len(labels[:, k].unique()) > 1]
        several = tuple(f"label {k}" for k in range(labels.shape[1]))
        named = images.label_names or (several if len(several) > 1 else ("label",))
        return cls(
            inputs=images.pixels,
            labels=labels[:, changing].float(),
            names=tuple(named[k] for k in changing),
        )

    @classmethod
    def of_frames(
        cls, sequences: ImageSequences
    ) -> tuple["LabelledPoints", "LabelledPoints", "LabelledPoints"]:
        """Return all frames of sequences, each with what is known of its sequence, in their splits.

        Negative class numbers stand for what is not known.

        Raises:
            DataError: Nothing is known, or all sequences are alike.
        """
        train, validation, test = (
            _of_split(sequences, part)
            for part in (sequences.train, sequences.validation, sequences.test)
        )
        return train, validation, test


def _of_split(sequences: ImageSequences, part: SequenceSplit) -> LabelledPoints:
    known = sequences.constant_truth()
    columns = {
        f"{name} {k}" if values.ndim > 1 else name: column
        for name, values in known.items()
        for k, column in enumerate(values.reshape(len(values), -1).T)
        if len(column.unique()) > 1
    }
    if not columns:
        raise DataError(f"{sequences.name}: nothing is known that tells its sequences apart.")
    table = torch.stack([*columns.values()], -1).float()[part.rows]
    table = torch.where(table < 0, torch.nan, table)
    return LabelledPoints(
        inputs=sequences.frames[part.rows].flatten(0, 1),
        labels=table.repeat_interleave(sequences.length, 0),
        names=tuple(columns),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """What each input was before it had mean 0 and variance 1.

    Attributes:
        mean: Of each input.
        scale: Standard deviation of each.
    """

    mean: Float[Tensor, " feature"]
    scale: Float[Tensor, " feature"]


def standardised(
    parts: tuple[LabelledPoints, LabelledPoints, LabelledPoints],
) -> tuple[tuple[LabelledPoints, LabelledPoints, LabelledPoints], Scaling | None]:
    """Return vectors with mean 0 and variance 1 in the first part; images as they are."""
    inputs = parts[0].inputs
    if inputs.ndim != 2:
        return parts, None
    mean, scale = inputs.mean(0), inputs.std(0, correction=0).clamp(min=1e-12)
    train, validation, test = (
        dataclasses.replace(part, inputs=(part.inputs - mean) / scale) for part in parts
    )
    return (train, validation, test), Scaling(mean, scale)


def kinds_of(points: LabelledPoints, given: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the kind of each label: 0 for numbers, else how many classes it has.

    Whole numbers of at most 20 distinct values are taken for classes, unless something else is
    given; classes are numbered in rising order.

    Args:
        points: The points.
        given: Kinds of some labels by name: 0 for numbers, any other number for classes.

    Raises:
        DataError: A name is unknown, there is a single class, or values of classes are not whole.
    """
    given = {} if given is None else given
    if unknown := sorted(set(given) - set(points.names)):
        raise DataError(f"Found kinds of {unknown}; labels are {', '.join(points.names)}.")
    kinds = {}
    for name, column in zip(points.names, points.labels.T, strict=True):
        distinct = column[~column.isnan()].unique()
        if len(distinct) < 2:
            raise DataError(
                f"Label {name!r}: found {len(distinct)} different values among the points to learn "
                "from, so that no task can be made of it. Leave it out, or give more points."
            )
        whole = bool((distinct == distinct.round()).all())
        classes = given[name] > 0 if name in given else whole and len(distinct) <= _MOST_CLASSES
        if classes and not whole:
            raise DataError(
                f"Label {name!r}: found {distinct[:_SHOWN].tolist()}, which are no numbers of "
                "classes. Number its classes, or give it kind 0."
            )
        kinds[name] = len(distinct) if classes else 0
    return kinds


@only_data_errors
def read_table(path: str | Path) -> LabelledPoints:
    """Return points and labels from a file of one's own.

    A CSV file has a header; columns called `label:NAME` are labels, empty (or `NA`, `NaN`) where
    missing, and all others are numbers that points are made of. Labels that are words become
    classes in alphabetical order, at most 20; whole numbers of up to 20 values are classes, too. An
    npz file has `inputs`, (point, feature) numbers or (point, channel, row, column) images, and one
    array (point) for each label, NaN where missing.

    Args:
        path: The file.

    Raises:
        DataError: The file is missing, damaged or of another format, a cell is no number, or there
            are no labels.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"{file} does not exist. Give a CSV or npz file of points and labels.")
    return _of_npz(file) if magic_of(file).startswith(NPZ_MAGIC) else _of_csv(file)


def _of_npz(file: Path) -> LabelledPoints:
    with zipfile.ZipFile(file) as content:
        every = [name.removesuffix(".npy") for name in content.namelist()]
    names = tuple(name for name in every if name != "inputs")
    arrays = read_npz(file, ("inputs", *names))
    inputs = torch.as_tensor(np.ascontiguousarray(arrays["inputs"]))
    if inputs.ndim == 4:
        inputs = Images.from_array(arrays["inputs"], name=file.name).pixels
    elif inputs.ndim != 2:
        raise DataError(
            f"{file}: found inputs of shape {tuple(inputs.shape)}, expected (point, feature) or "
            "(point, channel, row, column)."
        )
    if words := [name for name in names if arrays[name].dtype.kind not in "biuf"]:
        raise DataError(f"{file}: found {words} that are no numbers. Number classes from 0.")
    if not names:
        raise DataError(f"{file}: found inputs and no labels. Add an array (point) for each label.")
    if wrong := [name for name in names if arrays[name].shape != (len(inputs),)]:
        raise DataError(f"{file}: found {wrong} of another shape than ({len(inputs)},): no labels.")
    labels = np.stack([np.asarray(arrays[name], dtype=np.float32) for name in names], 1)
    pixels = inputs.dtype == torch.uint8 and inputs.ndim == 4
    return LabelledPoints(
        inputs=inputs if pixels else inputs.float(),
        labels=torch.from_numpy(labels),
        names=names,
    )


def _of_csv(file: Path) -> LabelledPoints:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        header, *rows = [row for row in csv.reader(lines) if row]
    if ragged := [k + 2 for k, row in enumerate(rows) if len(row) != len(header)]:
        raise DataError(
            f"{file}: rows {ragged[:_SHOWN]} have another number of cells than the header's "
            f"{len(header)}. Repair them."
        )
    header = [_LABEL.join(part.strip() for part in name.split(_LABEL, 1)) for name in header]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"{file}: found several columns called {twice}. Rename or drop them.")
    if _LABEL in header:
        raise DataError(
            f"{file}: found a column called {_LABEL!r} only. Name its label after that."
        )
    columns = {name: [row[k].strip() for row in rows] for k, name in enumerate(header)}
    labels = {
        name.removeprefix(_LABEL): ["" if cell.lower() in _MISSING else cell for cell in v]
        for name, v in columns.items()
        if name[:6] == _LABEL
    }
    inputs = {name: values for name, values in columns.items() if name[:6] != _LABEL}
    if not labels or not inputs or not rows:
        raise DataError(
            f"{file}: found {len(rows)} rows, {len(inputs)} inputs and {len(labels)} labels. Give "
            f"a header; names of labels begin with {_LABEL!r}, all other columns are inputs. "
            "Commas part the columns."
        )
    numbers = [_numbers(file, name, values) for name, values in inputs.items()]
    return LabelledPoints(
        inputs=torch.tensor(numbers).T.contiguous(),
        labels=torch.tensor([_classes(file, *each) for each in labels.items()]).T.contiguous(),
        names=tuple(labels),
    )


def _numbers(file: Path, name: str, cells: Sequence[str]) -> list[float]:
    bad = [k for k, cell in enumerate(cells) if not _is_number(cell) or not isfinite(float(cell))]
    if bad:
        raise DataError(
            f"{file}: column {name!r} has {len(bad)} cells that are no finite numbers, first "
            f"{cells[bad[0]]!r} in line {bad[0] + 2}. Drop the column or these rows; if it is a "
            f"label, call it {_LABEL + name!r}."
        )
    if len(set(cells)) == 1 < len(cells):
        raise DataError(f"{file}: column {name!r} is {cells[0]} in all rows. Leave it out.")
    return [float(cell) for cell in cells]


def _classes(file: Path, name: str, cells: Sequence[str]) -> list[float]:
    """Return labels as numbers, NaN where they are empty; words are numbered by the alphabet."""
    words = sorted({cell for cell in cells if cell and not _is_number(cell)})
    if not words:
        return [float(cell) if cell else float("nan") for cell in cells]
    if len(words) < len(set(cells) - {""}):
        raise DataError(
            f"{file}: label {name!r} has numbers and words, such as {words[:_SHOWN]}. Leave cells "
            "empty where the label is missing; classes are all numbers, or all words."
        )
    if len(words) > _MOST_CLASSES:
        raise DataError(
            f"{file}: label {name!r} has {len(words)} different words, but up to {_MOST_CLASSES} "
            "are taken for classes. Put some together, or leave this label out."
        )
    return [float(words.index(cell)) if cell else float("nan") for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

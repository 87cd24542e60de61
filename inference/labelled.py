"""Arrays with named axes, and the ArviZ groups made of them: the only place that knows ArviZ.

NumPy comes in, and what the installed ArviZ works with goes out: an `InferenceData` before ArviZ
1.0, an xarray `DataTree` since. Both give a group by `idata[group]`, a variable by
`idata[group][name]`, and answer `group in idata`. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..zoo.errors import ConfigError

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["Coords", "Group", "Labelled", "labels_of", "open_arviz", "to_arviz"]


class Labelled(NamedTuple):
    """An array with the names of its axes."""

    axes: tuple[str, ...]
    values: np.ndarray

    def first(self, axis: str, count: int) -> Labelled:
        """Return at most so many positions from the start of an axis."""
        where = self.axes.index(axis)
        return Labelled(self.axes, self.values[(slice(None),) * where + (slice(count),)])


Group = dict[str, Labelled]
Coords = Mapping[str, Sequence[str]]


def to_arviz(
    groups: Mapping[str, Group],
    coords: Mapping[str, Coords] | None = None,
    attributes: Mapping[str, object] | None = None,
) -> arviz.InferenceData:
    """Return labelled groups as ArviZ holds them, without copying any array.

    Args:
        groups: Variables of each group, by name; groups without any are left out. In those of
            draws the first two axes are called chain and draw.
        coords: Labels of the axes of each group, by name of the group and of the axis; an axis
            without labels counts from 0.
        attributes: What is to be known of the whole.

    Raises:
        ConfigError: An axis has another length than its labels, or the name of a variable.
    """
    datasets = {
        name: _dataset(variables, (coords or {}).get(name, {}))
        for name, variables in groups.items()
        if variables
    }
    if _since_one():
        import xarray

        tree: Any = xarray.DataTree.from_dict(datasets)
        tree.attrs.update(attributes or {})
        return tree
    return _inference_data(datasets, attributes or {})


def open_arviz(path: Path) -> arviz.InferenceData:
    """Return what a netCDF file or a Zarr folder holds; arrays are read when they are looked at."""
    import xarray

    zarr = path.suffix == ".zarr"
    options: Any = {"engine": "zarr", "consolidated": False} if zarr else {"engine": "h5netcdf"}
    tree: Any = xarray.open_datatree(path, **options)
    if _since_one():
        return tree
    datasets = {name: node.to_dataset() for name, node in tree.children.items()}
    return _inference_data(datasets, tree.attrs)


def labels_of(lengths: Mapping[str, int], coords: Coords) -> Group:
    """Return the labels of axes as arrays, each named like its axis.

    Raises:
        ConfigError: An axis has another length than its labels.
    """
    found = {}
    for axis, length in lengths.items():
        labels = np.asarray(coords.get(axis, range(length)))
        if len(labels) != length:
            raise ConfigError(
                f"Axis {axis!r} has length {length}, but {len(labels)} labels: {list(labels)}. "
                "Give as many labels as positions."
            )
        found[axis] = Labelled((axis,), labels)
    return found


def _dataset(variables: Group, coords: Coords) -> xarray.Dataset:
    import xarray

    lengths: dict[str, int] = {}
    for name, (axes, values) in variables.items():
        if name in axes:
            raise ConfigError(f"{name!r} is the name of a variable and of its axis. Rename one.")
        lengths |= dict(zip(axes, values.shape, strict=True))
    labels = labels_of(lengths, coords)
    return xarray.Dataset(dict(variables), {axis: labels[axis].values for axis in lengths})


def _since_one() -> bool:
    return int(version("arviz").split(".")[0]) >= 1


def _inference_data(
    datasets: Mapping[str, xarray.Dataset], attributes: Mapping[str, object]
) -> arviz.InferenceData:
    """Return the groups as ArviZ before 1.0 holds them."""
    import arviz

    whole: Any = arviz.InferenceData
    return whole(attrs=dict(attributes), **datasets)

"""Where draws are put as they are made: memory, or a file or folder that is never in memory."""

from __future__ import annotations

import abc
import contextlib
import importlib.util
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from ..zoo.errors import ConfigError, DataError, RunError
from .labelled import Coords, Group, Labelled, labels_of
from .sealed import write_whole

__all__ = ["InFile", "InFolder", "InMemory", "OnDisk", "Storage", "storage_for", "write_groups"]


class Storage(abc.ABC):
    """Groups of arrays that are filled block by block.

    Args:
        lengths: Full length of each axis that is filled in parts, by group; the others have the
            length that they have in every block.

    Attributes:
        groups: What has been put, by name of the group and of the variable.
    """

    def __init__(self, lengths: Mapping[str, Mapping[str, int]]) -> None:
        self._lengths = lengths
        self._axes: dict[str, dict[str, int]] = defaultdict(dict)
        self.groups: dict[str, Group] = defaultdict(dict)

    def put(
        self, group: str, name: str, block: Labelled, start: Mapping[str, int] | None = None
    ) -> None:
        """Store a part of a variable.

        Args:
            group: Name of the group.
            name: Name of the variable.
            block: The part.
            start: Where it begins along each axis; 0 where an axis is missing.

        Raises:
            DataError: The part has another shape or kind of numbers than those before it.
        """
        axes, values = block
        full = self._lengths.get(group, {})
        for axis, length in zip(axes, values.shape, strict=True):
            expected = self._axes[group].setdefault(axis, full.get(axis, length))
            if axis not in full and length != expected:
                raise DataError(
                    f"{name!r} has length {length} along {axis!r}, but that axis had {expected} "
                    "before. Give data of one shape, and axes of other lengths other names."
                )
        variables = self.groups[group]
        if name not in variables:
            shape = tuple(self._axes[group][axis] for axis in axes)
            variables[name] = Labelled(axes, self._allocate(group, name, shape, block))
        kind = np.dtype(variables[name].values.dtype).kind
        if values.dtype.kind == "f" and kind in "iub":
            raise DataError(
                f"{name!r} has missing numbers, or decimals, in this batch, but whole numbers "
                "before. Let its law have a mask in all batches, or in none."
            )
        first = [(start or {}).get(axis, 0) for axis in axes]
        region = tuple(slice(f, f + n) for f, n in zip(first, values.shape, strict=True))
        variables[name].values[region] = values

    @abc.abstractmethod
    def _allocate(self, group: str, name: str, shape: tuple[int, ...], first: Labelled) -> Any:  # noqa: ANN401 - anything that parts can be assigned to
        """Return an array of this shape that is to be filled; `first` is the first part of it."""


class InMemory(Storage):
    """Arrays of NumPy; they lie in `groups`."""

    def _allocate(
        self, group: str, name: str, shape: tuple[int, ...], first: Labelled
    ) -> np.ndarray:
        return np.empty(shape, first.values.dtype)


class OnDisk(Storage):
    """A file or a folder in the layout of ArviZ.

    Args:
        path: Is overwritten.
        lengths: As of every storage.

    Raises:
        RunError: It cannot be written, or the disk is too full for it.
    """

    def __init__(self, path: Path, lengths: Mapping[str, Mapping[str, int]]) -> None:
        super().__init__(lengths)
        self._path = path

    def __enter__(self) -> Self:
        """Return the storage."""
        return self

    @abc.abstractmethod
    def __exit__(self, *_: object) -> None:
        """Leave nothing open, whatever happened."""

    def put(
        self, group: str, name: str, block: Labelled, start: Mapping[str, int] | None = None
    ) -> None:
        """Store a part of a variable; texts as both formats take them."""
        if block.values.dtype.kind == "U":
            block = Labelled(block.axes, block.values.astype(object))
        with self._writing():
            super().put(group, name, block, start)

    def finish(self, coords: Mapping[str, Coords], attributes: Mapping[str, object]) -> None:
        """Write the labels of all axes, and what is to be known of the whole."""
        for group, lengths in list(self._axes.items()):
            for axis, labels in labels_of(lengths, coords.get(group, {})).items():
                self.put(group, axis, labels)
        with self._writing():
            self._describe(attributes)

    @abc.abstractmethod
    def _describe(self, attributes: Mapping[str, object]) -> None:
        """Write what is to be known of the whole."""

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # HDF5 raises both
            raise RunError(
                f"The draws cannot be written to {self._path.parent} ({error}). Free some space, "
                "choose another place, or ask for fewer draws, data or `groups`."
            ) from error


class InFile(OnDisk):
    """A netCDF file, whose room on the disk is taken before it is filled."""

    def __init__(self, path: Path, lengths: Mapping[str, Mapping[str, int]]) -> None:
        import h5netcdf

        super().__init__(path, lengths)
        self._bytes = 0
        with self._writing():
            self._file = h5netcdf.File(path, "w")

    def __exit__(self, *_: object) -> None:
        """Close the file, whatever happened."""
        with self._writing():
            self._file.close()

    def _describe(self, attributes: Mapping[str, object]) -> None:
        self._file.attrs.update(attributes)

    def _allocate(self, group: str, name: str, shape: tuple[int, ...], first: Labelled) -> Any:  # noqa: ANN401
        import h5py

        axes, dtype = first.axes, first.values.dtype
        self._take_room(int(np.prod(shape)) * dtype.itemsize)
        known = self._file.groups
        place = known[group] if group in known else self._file.create_group(group)
        for axis, length in zip(axes, shape, strict=True):
            if axis not in place.dimensions:
                place.dimensions[axis] = length
        if dtype.kind == "b":  # netCDF has no truth values; this is how xarray marks them
            variable = place.create_variable(name, axes, np.int8)
            variable.attrs["dtype"] = "bool"
            return variable
        text = dtype.kind == "O"
        return place.create_variable(name, axes, h5py.string_dtype() if text else dtype)

    def _take_room(self, more: int) -> None:
        """Take room on the disk: once HDF5 itself meets a full one, the process may crash."""
        self._bytes += more
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            if hasattr(os, "posix_fallocate") and self._bytes:
                os.posix_fallocate(descriptor, 0, self._bytes)
        finally:
            os.close(descriptor)


class InFolder(OnDisk):
    """A folder in the format of Zarr, compressed, whose pieces are the parts that are put."""

    def __init__(self, path: Path, lengths: Mapping[str, Mapping[str, int]]) -> None:
        import zarr

        super().__init__(path, lengths)
        with self._writing():
            self._folder = zarr.open_group(path, mode="w", zarr_format=3)

    def __exit__(self, *_: object) -> None:
        """Do nothing: every part was written when it was put."""

    def _describe(self, attributes: Mapping[str, object]) -> None:
        self._folder.attrs.update(cast(Any, attributes))

    def _allocate(self, group: str, name: str, shape: tuple[int, ...], first: Labelled) -> Any:  # noqa: ANN401
        text = first.values.dtype.kind == "O"
        return self._folder.require_group(group).create_array(
            name,
            shape=shape,
            dtype=str if text else first.values.dtype,
            chunks=tuple(max(1, length) for length in first.values.shape),
            dimension_names=first.axes,
        )


def storage_for(path: Path) -> type[OnDisk]:
    """Return what writes a file or folder of this name.

    Raises:
        ConfigError: The name ends otherwise than in .nc or .zarr, there is something else of that
            name, or it is to be where no folder is; or Zarr is not installed.
    """
    kinds: dict[str, type[OnDisk]] = {".nc": InFile, ".zarr": InFolder}
    if path.suffix not in kinds:
        raise ConfigError(
            f"{path} is no name of a netCDF file or a Zarr folder. Choose one such as posterior.nc "
            "or posterior.zarr."
        )
    zarr = path.suffix == ".zarr"
    if path.exists() and not ((path / "zarr.json").is_file() if zarr else path.is_file()):
        raise ConfigError(
            f"{path} exists, and is no {'Zarr folder' if zarr else 'netCDF file'}. Move it away, "
            "or choose another name."
        )
    if not path.parent.is_dir():
        raise ConfigError(f"The folder of {path} does not exist. Make it, or choose another.")
    if zarr and importlib.util.find_spec("zarr") is None:
        raise ConfigError(
            "Zarr is not installed. Install it (`pip install 'mutoscope[zarr]'`), or choose a name "
            "that ends in .nc."
        )
    return kinds[path.suffix]


def write_groups(
    path: Path,
    groups: Mapping[str, Group],
    coords: Mapping[str, Coords],
    attributes: Mapping[str, object],
) -> None:
    """Write groups that are in memory to a file or folder, whole or not at all.

    Raises:
        ConfigError: See `storage_for`.
        RunError: It cannot be written.
    """
    kind = storage_for(path)

    def write(beside: Path) -> None:
        with kind(beside, {}) as disk:
            for group, variables in groups.items():
                for name, block in variables.items():
                    disk.put(group, name, block)
            disk.finish(coords, attributes)

    write_whole(path, write)

"""Where draws are put as they are made: memory, or a netCDF file that is never in memory."""

from __future__ import annotations

import abc
import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..zoo.errors import DataError, RunError
from .labelled import Coords, Group, Labelled, labels_of

__all__ = ["InFile", "InMemory", "Storage"]


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
            DataError: The part has another shape than those before it.
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
            variables[name] = Labelled(axes, self._allocate(group, name, axes, shape, values.dtype))
        first = [(start or {}).get(axis, 0) for axis in axes]
        region = tuple(slice(f, f + n) for f, n in zip(first, values.shape, strict=True))
        variables[name].values[region] = values

    @abc.abstractmethod
    def _allocate(
        self, group: str, name: str, axes: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype
    ) -> Any:  # noqa: ANN401 - anything that parts can be assigned to
        """Return an array that is to be filled."""


class InMemory(Storage):
    """Arrays of NumPy; they lie in `groups`."""

    def _allocate(
        self, group: str, name: str, axes: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype
    ) -> np.ndarray:
        return np.empty(shape, dtype)


class InFile(Storage):
    """A netCDF file in the layout of ArviZ, whose room on the disk is taken before it is filled.

    Args:
        path: Is overwritten.
        lengths: As of every storage.

    Raises:
        RunError: The file cannot be written, or the disk is too full for it.
    """

    def __init__(self, path: Path, lengths: Mapping[str, Mapping[str, int]]) -> None:
        import h5netcdf

        super().__init__(lengths)
        self._path, self._bytes = path, 0
        with self._writing():
            self._file = h5netcdf.File(path, "w")

    def __enter__(self) -> InFile:
        """Return the storage."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, whatever happened."""
        with self._writing():
            self._file.close()

    def put(
        self, group: str, name: str, block: Labelled, start: Mapping[str, int] | None = None
    ) -> None:
        """Store a part of a variable; texts as HDF5 takes them."""
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
            self._file.attrs.update(attributes)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # HDF5 raises both
            raise RunError(
                f"The draws cannot be written to {self._path.parent} ({error}). Free some space, "
                "choose another place, or ask for fewer draws, data or `groups`."
            ) from error

    def _allocate(
        self, group: str, name: str, axes: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype
    ) -> Any:  # noqa: ANN401
        import h5py

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

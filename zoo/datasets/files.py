"""Finding and opening data files, with one clear error for each way this fails."""

import functools
import inspect
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from ..errors import DataError, MutoscopeError

__all__ = ["find_file", "magic_of", "only_data_errors", "read_npy", "read_npz"]

NPY_MAGIC = b"\x93NUMPY"
NPZ_MAGIC = b"PK\x03\x04"
UNREADABLE = (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)

Given = ParamSpec("Given")
Found = TypeVar("Found")


def only_data_errors(read: Callable[Given, Found]) -> Callable[Given, Found]:
    """Let a reader of files raise `DataError` even where it did not foresee what it would find.

    Files can be wrong in more ways than can be listed: libraries raise whatever a damaged header
    leads them to, and arrays of the right names may have any shape and type.

    Args:
        read: A function whose first argument is a path.
    """
    signature = inspect.signature(read)

    @functools.wraps(read)
    def reading(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        path = next(iter(signature.bind(*args, **kwargs).arguments.values()), None)
        try:
            return read(*args, **kwargs)
        except MutoscopeError:
            raise
        except Exception as error:
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise DataError(
                f"{path} does not hold what {read.__name__} expects ({cause}). Check that it is "
                "the right file and whole; fetch or copy it again."
            ) from error

    return reading


def find_file(path: str | Path, names: Sequence[str], folders: Sequence[str] = ()) -> Path:
    """Return `path` if it is a file, or else the first of the named files that is in a folder.

    Args:
        path: A file, or a folder to search.
        names: File names to look for, best first.
        folders: Folders under `path` that are searched after `path` itself.

    Raises:
        DataError: There is no such file; the message lists what was looked for and where.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return path
    if not path.exists():
        raise DataError(f"{path} does not exist. Give the folder that holds {names[0]}.")
    for folder in (path, *(path / name for name in folders)):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    places = ", ".join(str(path / folder) for folder in ("", *folders))
    raise DataError(f"Found none of {', '.join(names)} in {places}. Put one of them there.")


def magic_of(path: Path, length: int = 8) -> bytes:
    """Return the first bytes of a file, which tell its format whatever its name.

    Raises:
        DataError: The file does not exist, cannot be read or is empty.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(length)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}). Check the path.") from error
    if not magic:
        raise DataError(f"{path} is empty. Fetch or copy the file again.")
    return magic


def read_npy(path: str | Path) -> np.ndarray:
    """Read one array from a `.npy` file; no pickle is ever read.

    Raises:
        DataError: The file is missing, no such file, damaged or holds Python objects.
    """
    path = Path(path)
    if not magic_of(path).startswith(NPY_MAGIC):
        raise DataError(f"{path} is not a .npy file. Save the array with numpy.save.")
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise _damaged(path, "the array", error) from error
    return array


def read_npz(
    path: str | Path, keys: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read named arrays from a `.npz` file; no pickle is ever read.

    Args:
        path: The file.
        keys: Arrays that must be there.
        optional: Arrays that are read if they are there.

    Raises:
        DataError: The file is missing, no such file, damaged, without a key, or an array holds
            Python objects.
    """
    path = Path(path)
    names = npz_keys(path)
    missing = [key for key in keys if key not in names]
    if missing:
        raise DataError(
            f"{path} has no array {', '.join(map(repr, missing))}; it has {', '.join(names)}. "
            "Check that it is the published file."
        )
    wanted = [*keys, *(key for key in optional if key in names)]
    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        for key in wanted:
            try:
                arrays[key] = archive[key]
            except UNREADABLE as error:
                raise _damaged(path, f"array {key!r}", error) from error
    return arrays


def npz_keys(path: Path) -> list[str]:
    """Return the names of the arrays in a `.npz` file.

    Raises:
        DataError: The file is missing, damaged or no `.npz` file.
    """
    if not magic_of(path).startswith(NPZ_MAGIC):
        raise DataError(f"{path} is not a .npz file. Save the arrays with numpy.savez.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return list(archive.files)
    except UNREADABLE as error:
        raise _damaged(path, "the archive", error) from error


def _damaged(path: Path, what: str, error: Exception) -> DataError:
    if "allow_pickle" in str(error):
        return DataError(
            f"{path}: {what} holds Python objects, expected numbers; objects are not loaded "
            "because they can run code. Stack images of one size to a uint8 or float array."
        )
    return DataError(f"{path}: {what} is damaged or cut off ({error}). Fetch or copy it again.")

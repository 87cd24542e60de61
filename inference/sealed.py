"""Sealed folders: sets of files that change as a whole and are checked when they are read.

A file `SHA256SUMS` names every file of the set with its hash, so that `sha256sum -c SHA256SUMS`
checks it without this package. A new set is written beside the old one, in `.pending.tmp`. Renaming
that folder to `.pending` is the moment from which the new set counts; its files are then moved into
place, `SHA256SUMS` last. Whoever comes after a crash finishes what is pending.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from ..zoo.errors import RunError

__all__ = ["is_sealed", "seal", "unseal", "write_whole"]

_SUMS, _STAGED, _COMMITTED = "SHA256SUMS", ".pending.tmp", ".pending"
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_NAME.pattern})\n", re.ASCII)
_LONGEST_LIST = 2**20


def seal(folder: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Replace all sealed files of a folder at once; files outside the set are left alone.

    If the process or the machine dies at any moment, the folder holds exactly the old or exactly
    the new set, as soon as `seal` or `unseal` looks at it again.

    Args:
        folder: Is made if it does not exist.
        files: By name, what writes each file to the path that it is given.

    Raises:
        RunError: A file cannot be written, because the disk is full, say; the old set is whole.
    """
    if not files:
        raise RunError(f"There is nothing to seal in {folder}. Name at least one file.")
    for name in files:
        if not _NAME.fullmatch(name) or name == _SUMS:
            raise RunError(f"{name!r} cannot be sealed. Choose a plain name, such as 'a-1.json'.")
    staged = folder / _STAGED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _recover(folder)
        _stage(staged, files)
        staged.rename(folder / _COMMITTED)
    except BaseException as error:
        shutil.rmtree(staged, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritten(folder, error) from error
        raise
    _recover(folder)


def unseal(folder: Path) -> dict[str, Path]:
    """Return the sealed files of a folder by name, after a check of every hash.

    A change that a crash interrupted is finished first, or discarded if it does not count yet.

    Raises:
        RunError: The folder is not sealed, or a file is missing or was changed.
    """
    try:
        _recover(folder)
        return {
            name: _checked(folder / name, sealed) for name, sealed in _read_sums(folder).items()
        }
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error}). Make it readable.") from error


def is_sealed(folder: Path) -> bool:
    """Tell whether a folder holds a sealed set, be it whole or damaged."""
    return any(os.path.lexists(folder / name) for name in (_SUMS, _COMMITTED))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file or folder beside its place and move it there: it is never seen half written.

    A folder that was there is moved away just before, and then removed.
    """
    beside, before = (path.with_name(f".{path.name}.{os.getpid()}{end}") for end in ("", ".old"))
    try:
        write(beside)
        if path.is_dir():
            path.rename(before)
        beside.replace(path)
    finally:
        if before.exists() and not path.exists():
            before.rename(path)
        for left in (beside, before):
            _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _stage(staged: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Write a set with its hashes to a folder, down to the disk."""
    from safetensors import SafetensorError

    staged.mkdir()
    sums = ""
    for name, write in files.items():
        path = staged / name
        try:
            write(path)
            _flush(path)
            sums += f"{_hash(path)}  {name}\n"
        except (OSError, SafetensorError) as error:  # a full disk comes as either
            raise _unwritten(staged.parent / name, error) from error
    (staged / _SUMS).write_text(sums, encoding="ascii")
    _flush(staged / _SUMS)
    _flush(staged)


def _recover(folder: Path) -> None:
    """Finish a change that counts, discard one that does not."""
    committed = folder / _COMMITTED
    try:
        if committed.is_dir() and not committed.is_symlink():
            _roll_forward(folder, committed)
    except OSError as error:
        raise RunError(
            f"New files of {folder} are saved in {committed}, but cannot be moved to their place "
            f"({error}). Make the folder writable or free some space, and try again."
        ) from error
    shutil.rmtree(folder / _STAGED, ignore_errors=True)


def _roll_forward(folder: Path, committed: Path) -> None:
    """Put a set in place of the old one; after a crash half way, this starts again."""
    _flush(folder)
    if (committed / _SUMS).exists():  # else it has been moved, after all others
        new = _read_sums(committed)
        for name in new:
            if (committed / name).exists():
                (committed / name).replace(folder / name)
        for name in _names_before(folder) - new.keys():
            (folder / name).unlink(missing_ok=True)
        _flush(folder)
        (committed / _SUMS).replace(folder / _SUMS)
        _flush(folder)
    shutil.rmtree(committed)


def _names_before(folder: Path) -> set[str]:
    try:
        return set(_read_sums(folder))
    except RunError:  # a damaged list must not keep anyone from replacing it
        return set()


def _read_sums(folder: Path) -> dict[str, str]:
    """Return the hash of each name in the list of a folder, which must be exactly in its form."""
    path = folder / _SUMS
    if path.is_symlink() or not path.is_file():
        raise RunError(f"{folder} is not sealed: it has no file {_SUMS}. Restore it from a copy.")
    short = path.stat().st_size <= _LONGEST_LIST
    text = path.read_bytes().decode("ascii", errors="replace") if short else ""
    lines = [_LINE.fullmatch(line) for line in text.splitlines(keepends=True)]
    sums = {match[2]: match[1] for match in lines if match}
    if not sums or len(sums) < len(lines):
        raise RunError(
            f"{path} is damaged: expected lines of a SHA-256, two spaces and a plain name, each "
            "name once. Restore it from a copy."
        )
    return sums


def _checked(path: Path, sealed: str) -> Path:
    if path.is_symlink() or not path.is_file():
        raise RunError(f"{path} is missing, or is no plain file. Restore it from a copy.")
    if (found := _hash(path)) != sealed:
        raise RunError(
            f"{path} is damaged: its SHA-256 is {found[:12]}…, but {sealed[:12]}… was sealed. "
            "Restore it from a copy."
        )
    return path


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Let a file, or the names in a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritten(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path} cannot be written ({error}). What was saved there before is whole. Free some "
        "space, or choose another folder, and save again."
    )

"""Strict reader of IDX files, the format in which MNIST and its kin are published."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from .files import magic_of, only_data_errors

__all__ = ["read_idx"]

GZIP_MAGIC = b"\x1f\x8b"
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@only_data_errors
def read_idx(path: str | Path) -> np.ndarray:
    """Read an array from an IDX file, gzipped or not; the name of the file does not matter.

    Source: the file format section of LeCun, Cortes, Burges, The MNIST database.

    Args:
        path: The file.

    Returns:
        The array, in the byte order of this machine.

    Raises:
        DataError: The file is missing, empty, no IDX file, cut off, or longer than its header says.
    """
    path = Path(path)
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] == 0:
        raise DataError(
            f"{path} is not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}, "
            "expected 00 00, a type code and the number of axes. Fetch the published file again."
        )
    axes = content[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise DataError(f"{path} ends within its header of {header} bytes. Fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", axes, offset=4))
    dtype = np.dtype(TYPES[content[2]])
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        kind = "cut off" if len(content) < expected else "followed by other bytes"
        raise DataError(
            f"{path} is {kind}: found {len(content)} bytes, expected {expected} for an array of "
            f"shape {shape}. Fetch or copy it again."
        )
    array = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _content(path: Path) -> bytes:
    is_gzip = magic_of(path).startswith(GZIP_MAGIC)
    content = path.read_bytes()
    if not is_gzip:
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip stream is damaged or cut off ({error}). Fetch or copy it again."
        ) from error

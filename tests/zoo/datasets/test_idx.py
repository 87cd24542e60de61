import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mutoscope.zoo.datasets import fashion_mnist, mnist, read_idx
from mutoscope.zoo.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def packed(content: bytes) -> bytes:
    """Compress without a time stamp, which test names would show."""
    return gzip.compress(content, mtime=0)


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("pack", [bytes, packed])
def test_every_type_is_read_whatever_the_name(tmp_path: Path, code: str, pack: type) -> None:
    array = IMAGES.astype(code)
    path = tmp_path / "renamed.dat"
    path.write_bytes(pack(idx(array)))
    found = read_idx(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX file"),
        (b"\0\0\x07\x01" + bytes(8), "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (idx(IMAGES)[:9], "ends within its header"),
        (idx(IMAGES)[:-1], "cut off: found 75 bytes, expected 76"),
        (idx(IMAGES) + b"\0", "followed by other bytes"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "cut off"),
        (packed(idx(IMAGES))[:-12], "gzip stream is damaged or cut off"),
        (packed(idx(IMAGES)) + b"more", "gzip stream is damaged"),
        (packed(b""), "not an IDX file: it starts with nothing"),
        (packed(packed(idx(IMAGES))), "not an IDX file"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent cannot be read"):
        read_idx(tmp_path / "absent")


def write_mnist(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "t10k-labels.idx1-ubyte").write_bytes(idx(labels))


def test_published_names_are_found_plain_and_in_sub_folders(tmp_path: Path) -> None:
    write_mnist(tmp_path / "fashion_mnist", IMAGES, np.arange(5, dtype=np.uint8))
    images = fashion_mnist(tmp_path, "test")
    assert images.labels.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(images.pixels[:, 0], IMAGES)
    with pytest.raises(DataError, match=r"Found none of t10k-images-idx3-ubyte.gz"):
        mnist(tmp_path, "test")


def test_swapped_or_unmatched_files_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, np.arange(5, dtype=np.uint8), IMAGES)
    with pytest.raises(DataError, match="not swapped"):
        mnist(tmp_path, "test")
    write_mnist(tmp_path, IMAGES, np.arange(4, dtype=np.uint8))
    with pytest.raises(DataError, match="5 images but 4 labels"):
        mnist(tmp_path, "test")


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        mnist(tmp_path / "absent")
    with pytest.raises(DataError, match="Unknown split"):
        mnist(tmp_path, "valid")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="is a file"):
        mnist(tmp_path / "file")


@pytest.mark.parametrize("error", [ConnectionError("offline"), ValueError("hash differs")])
def test_failed_downloads_say_which_files_to_put_where(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("pooch.retrieve", fail)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz into a folder.*data_dir"):
        mnist()


def test_real_mnist(data_dir: Path) -> None:
    test = mnist(data_dir, "test")
    assert test.pixels.shape == (10000, 1, 28, 28)
    assert test.labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip

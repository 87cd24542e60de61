from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mutoscope.zoo.datasets import (
    Images,
    ImageSequences,
    dsprites,
    load_images,
    moving_mnist,
    mpi3d,
    open_data,
    shapes3d,
    sprites,
    two_dsprites,
)
from mutoscope.zoo.errors import DataError


@pytest.mark.parametrize(
    ("name", "count", "image_shape", "factors"),
    [
        ("dsprites", 320, (1, 64, 64), 6),
        ("shapes3d", 53, (3, 64, 64), 6),
        ("falcor3d", 41, (3, 128, 128), 7),
        ("isaac3d", 42, (3, 128, 128), 9),
    ],
)
def test_real_images(
    data_dir: Path, name: str, count: int, image_shape: tuple[int, int, int], factors: int
) -> None:
    images = load_images(name, data_dir)
    assert isinstance(images, Images)
    assert len(images) == count
    assert images.image_shape == image_shape
    assert images.labels.shape == (count, factors)
    assert len(images.label_names) == factors
    assert images.pixels.max() > 200
    assert images.citation


@pytest.mark.parametrize(
    ("name", "count", "length", "image_shape"),
    [
        ("mpi3d", 56, 20, (3, 64, 64)),
        ("moving_mnist", 200, 20, (1, 64, 64)),
        ("two_dsprites", 400, 10, (3, 64, 64)),
    ],
)
def test_real_sequences(
    data_dir: Path, name: str, count: int, length: int, image_shape: tuple[int, int, int]
) -> None:
    data = load_images(name, data_dir)
    assert isinstance(data, ImageSequences)
    assert sum(len(split) for split in (data.train, data.validation, data.test)) == count
    assert data.test[0]["images"].shape == (length, *image_shape)
    assert set(data.test.truth)


def test_real_sprites_split_by_character(data_dir: Path) -> None:
    data = open_data("sprites", data_dir, length=4)
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [1440, 180, 324]
    characters = [{tuple(row) for row in s.truth["attributes"].tolist()} for s in splits]
    assert [len(part) for part in characters] == [160, 20, 36]
    assert len(set.union(*characters)) == 216
    assert data.test.batch([0])["images"].shape == (1, 4, 3, 64, 64)


def test_digits_of_real_moving_mnist_are_in_one_split(data_dir: Path) -> None:
    path = data_dir / "derived_moving_mnist" / "moving_mnist_200x20.npz"
    data, digit = moving_mnist(path), torch.from_numpy(np.load(path)["digit_index"])
    parts = [
        set(digit[s.rows].flatten().tolist()) for s in (data.train, data.validation, data.test)
    ]
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_real_mnist_shows_published_test_digits_in_the_test_split_only(data_dir: Path) -> None:
    data = open_data("mnist", data_dir, limit=300, length=3)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [267, 33, 300]
    assert data.test.truth.base.min() == 300


def test_full_sprites_are_read_from_their_nine_files(tmp_path: Path) -> None:
    attributes = np.stack(np.unravel_index(np.arange(6), (1, 1, 2, 3)), axis=-1)
    np.savez(tmp_path / "index.npz", attributes=attributes, test_idx=[1, 4])
    for action in ("walk", "spellcard", "slash"):
        for direction in ("front", "left", "right"):
            frames = np.zeros((6, 8, 4, 4, 3), dtype=np.uint8)
            np.savez(tmp_path / f"{action}_{direction}_frames.npz", frames=frames)
    data = sprites(tmp_path, size="full")
    assert len(data.test) == 18
    assert len(data.train) + len(data.validation) == 36
    assert data.test.truth["attributes"].unique(dim=0).tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]
    (tmp_path / "walk_left_frames.npz").unlink()
    with pytest.raises(DataError, match=r"walk_left_frames.npz"):
        sprites(tmp_path, size="full")


def test_published_mpi3d_shape_becomes_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutoscope.zoo.datasets.videos.MPI3D_SIZES", (2, 2, 5))
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "mpi3d_toy.npz", images=images)
    data = mpi3d(tmp_path)
    assert data.frames.shape == (4, 5, 3, 4, 4)
    assert data.train.truth["classes"].shape == (2, 2)
    np.savez(tmp_path / "mpi3d_toy.npz", images=images[:7])
    with pytest.raises(DataError, match="expected the 20 published images"):
        mpi3d(tmp_path)


def test_published_moving_mnist_has_time_first(tmp_path: Path) -> None:
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((4, 12, 8, 8), dtype=np.uint8))
    data = moving_mnist(tmp_path)
    assert data.frames.shape == (12, 4, 1, 8, 8)
    assert data.train.truth is None
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((4, 8, 8), dtype=np.uint8))
    with pytest.raises(DataError, match=r"expected \(time, sequence"):
        moving_mnist(tmp_path)


def test_every_takes_every_so_many_th_image(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"] = np.zeros((10, 4, 4, 3), dtype=np.uint8)
        file["labels"] = np.arange(60.0).reshape(10, 6)
    images = shapes3d(tmp_path, every=4)
    assert images.labels[:, 0].tolist() == [0, 24, 48]
    with pytest.raises(DataError, match="every=0"):
        shapes3d(tmp_path, every=0)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "3dshapes.h5"
    bad.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="expected an HDF5 file"):
        shapes3d(bad)
    with pytest.raises(DataError, match=r"is not a .npz file"):
        two_dsprites(bad)
    np.savez(tmp_path / "d.npz", imgs=np.full((3, 4, 4), 7), latents_classes=np.zeros((3, 6)))
    with pytest.raises(DataError, match="pixels up to 7, expected 0 and 1"):
        dsprites(tmp_path / "d.npz")
    with pytest.raises(DataError, match="has no array 'image'; it has imgs, latents_classes"):
        two_dsprites(tmp_path / "d.npz")

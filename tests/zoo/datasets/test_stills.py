import numpy as np
import pytest
import torch

from mutoscope.zoo.datasets import Images
from mutoscope.zoo.datasets.stills import StillImages, open_stills
from mutoscope.zoo.errors import DataError


def test_digits_have_their_published_pixels_and_every_image_one_split():
    data = open_stills("digits", seed=1)
    assert data.image_shape == (1, 8, 8)
    splits = [split.observations["x"] for split in (data.train, data.validation, data.test)]
    assert sum(map(len, splits)) == 1797
    whole = torch.cat(splits).flatten(1)
    assert len(whole.unique(dim=0)) == 1797
    assert 0 <= float(splits[0].min()) < float(splits[0].max()) <= 1


def test_a_seed_settles_the_split():
    first, same, other = (open_stills("digits", seed=seed).test for seed in (1, 1, 2))
    assert torch.equal(first.observations["x"], same.observations["x"])
    assert not torch.equal(first.observations["x"], other.observations["x"])


def test_the_first_of_a_split():
    split = open_stills("digits").test
    assert torch.equal(split.first(3).observations["x"], split.batch([0, 1, 2])["x"])
    assert len(split.first(10**6)) == len(split)
    assert torch.equal(split[2]["x"], split.batch([2])["x"][0])
    assert len(split.first(3).labels) == 3


def test_a_published_test_part_stays_whole():
    images = Images(pixels=torch.rand(40, 1, 4, 4))
    data = StillImages(images, test_images=images[:7])
    assert torch.equal(data.test.observations["x"], images.pixels[:7])
    assert len(data.train) + len(data.validation) == 40
    with pytest.raises(DataError, match="same shape"):
        StillImages(images, test_images=Images(pixels=torch.rand(3, 1, 5, 5)))


def test_impossible_limits():
    assert len(open_stills("digits", limit=100).train) == 80
    with pytest.raises(DataError, match="limit=0"):
        open_stills("digits", limit=0)


def test_frames_of_sequences_stay_in_their_split(tmp_path):
    path = tmp_path / "film.npy"
    level = np.arange(20, dtype=np.float32)[:, None, None, None, None] / 20
    np.save(path, np.broadcast_to(level, (20, 3, 1, 4, 4)))
    data = open_stills(str(path))
    parts = [split.observations["x"] for split in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == 60
    assert data.image_shape == (1, 4, 4)
    levels = [set(part[:, 0, 0, 0].tolist()) for part in parts]
    assert not levels[0] & (levels[1] | levels[2])
    assert all(3 * len(own) == len(part) for own, part in zip(levels, parts, strict=True))
    assert len(open_stills(str(path), limit=5).train) == 5


def test_images_as_sequences_of_one_frame():
    data = open_stills("digits", limit=60)
    frames = data.as_frames()
    assert len(frames.train) == len(data.train)
    assert len(frames.validation) == len(data.validation)
    found = frames.train.batch([2, 0])["images"]
    assert torch.equal(found.squeeze(1), data.train.batch([2, 0])["x"])
    assert found.shape == (2, 1, 1, 8, 8)

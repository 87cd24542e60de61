import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mutoscope.zoo.datasets import FACTORS, Images, TransformedDigits, TransformedImages
from mutoscope.zoo.errors import DataError


@pytest.fixture(scope="module")
def digits() -> TransformedImages:
    return TransformedDigits(seed=0)


def test_default_digits(digits: TransformedImages) -> None:
    assert digits.image_shape == (1, 20, 20)
    assert digits.length == 9
    assert digits.transforms == ("rotation", "scale")
    assert digits.units == {"rotation": "degree", "scale": "log-scale"}
    assert [len(s) for s in (digits.train, digits.validation, digits.test)] == [1437, 180, 180]
    assert digits.train.base_labels().unique().tolist() == list(range(10))


@pytest.mark.parametrize("repeats", [1, 3])
def test_no_base_image_is_in_two_splits(pictures: Tensor, repeats: int) -> None:
    data = TransformedImages(pictures, sequences_per_image=repeats)
    parts = [s.truth.base for s in (data.train, data.validation, data.test)]
    assert torch.equal(
        torch.cat([part.unique() for part in parts]).sort().values, torch.arange(len(pictures))
    )
    assert [len(part) for part in parts] == [10 * repeats, repeats, repeats]


def test_sequences_of_one_image_move_differently(pictures: Tensor) -> None:
    truth = TransformedImages(pictures, sequences_per_image=2).train.truth
    assert torch.equal(truth.base[::2], truth.base[1::2])
    assert not torch.equal(truth.pose[::2], truth.pose[1::2])


@pytest.mark.parametrize("warp", ["once", "accumulate"])
def test_first_frame_is_the_base_image(digits: TransformedImages, warp: str) -> None:
    data = TransformedDigits(warp=warp)
    rows = torch.arange(30)
    frames = data.test.batch(rows)["images"]
    torch.testing.assert_close(frames[:, 0], data.test.base_images(rows), atol=1e-6, rtol=0)


def test_frames_are_floats_in_range_with_all_factors(pictures: Tensor) -> None:
    data = TransformedImages(pictures, tuple(FACTORS), 5, signed=True, sequences_per_image=4)
    images = data.train.observations["images"]
    assert images.dtype == torch.float32
    assert images.shape == (40, 5, 3, 21, 21)
    assert data.image_shape == (3, 21, 21)
    assert images.min() >= 0
    assert images.max() <= 1


def test_items_hold_images_and_no_truth(digits: TransformedImages) -> None:
    split = digits.validation
    assert set(split[0]) == set(split.batch([0])) == set(split.observations) == {"images"}
    loaded = next(iter(DataLoader(split, batch_size=4)))
    assert set(loaded) == {"images"}
    torch.testing.assert_close(loaded["images"], split.batch(torch.arange(4))["images"])
    torch.testing.assert_close(split[-1]["images"], split.batch([len(split) - 1])["images"][0])
    with pytest.raises(IndexError, match="180 sequences"):
        split[len(split)]


def test_truth_has_the_shapes_it_says(digits: TransformedImages) -> None:
    truth = digits.test.truth
    assert truth.spike.shape == truth.speed.shape == truth.multiplier.shape == (180, 8, 2)
    assert truth.pose.shape == (180, 9, 2)
    assert truth.base.shape == (180,)
    assert truth.factors == ("rotation", "scale")
    with pytest.raises(dataclasses.FrozenInstanceError):
        truth.base = truth.base + 1


def test_same_seed_same_data_and_other_seed_other_data(pictures: Tensor) -> None:
    first, again, other = (TransformedImages(pictures, seed=seed) for seed in (5, 5, 6))
    for name in ("train", "validation", "test"):
        mine, same = getattr(first, name), getattr(again, name)
        assert torch.equal(mine.truth.base, same.truth.base)
        assert torch.equal(mine.observations["images"], same.observations["images"])
    assert not torch.equal(first.train.truth.pose, other.train.truth.pose)
    assert not torch.equal(first.train.truth.base, other.train.truth.base)


def test_global_random_states_are_left_alone(pictures: Tensor) -> None:
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    TransformedImages(pictures).train[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


def test_bytes_and_floats_make_the_same_frames(random_images: np.ndarray) -> None:
    from_bytes = TransformedImages(random_images, "rotation")
    from_floats = TransformedImages(random_images.astype(np.float32) / 255, "rotation")
    assert from_bytes.images.pixels.dtype == torch.uint8
    torch.testing.assert_close(
        from_bytes.train.observations["images"], from_floats.train.observations["images"]
    )


def test_published_test_images_make_the_test_split(pictures: Tensor) -> None:
    train, test = (Images.from_array(part) for part in (pictures[:9], pictures[9:]))
    data = TransformedImages(train, test_images=test)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [8, 1, 3]
    torch.testing.assert_close(data.test.base_images(), pictures[9:])
    with pytest.raises(DataError, match="test images"):
        TransformedImages(train, test_images=Images.from_array(pictures[..., :5]))


def test_an_empty_split_is_allowed_when_asked_for(pictures: Tensor) -> None:
    data = TransformedImages(pictures, fractions=(1.0, 0.0, 0.0))
    assert len(data.train) == 12
    assert len(data.test) == 0
    assert data.test.observations["images"].shape == (0, 9, 1, 21, 21)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transforms": ("scael",)}, "Did you mean 'scale'"),
        ({"length": 1}, "at least 2 frames"),
        ({"warp": "twice"}, "Unknown warp"),
        ({"warp": "accumulate", "cyclic": True}, 'needs warp="once"'),
        ({"sequences_per_image": 0}, "expected 1 or more"),
        ({"fractions": (0.5, 0.1, 0.1)}, "sum to 1"),
    ],
)
def test_bad_options_are_named(pictures: Tensor, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TransformedImages(pictures, **options)


def test_two_images_cannot_make_three_splits(pictures: Tensor) -> None:
    with pytest.raises(DataError, match="Found 2 images, expected at least 3"):
        TransformedImages(pictures[:2])


def test_digit_must_fit_its_canvas() -> None:
    with pytest.raises(DataError, match="does not fit"):
        TransformedDigits(image_size=8)

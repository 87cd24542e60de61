import numpy as np
import pytest
import torch

from mutoscope.zoo.datasets import Images, TransformedImages
from mutoscope.zoo.errors import DataError


def with_value(value: float) -> np.ndarray:
    array = np.zeros((4, 1, 5, 5), dtype=np.float32)
    array[1, 0, 2, 3] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (with_value(np.nan), "found 1 pixels that are NaN"),
        (with_value(np.inf), "NaN or infinite"),
        (with_value(1.5), "from 0 to 1.5, expected floats in"),
        (with_value(-0.1), "expected floats in"),
        (np.zeros((4, 5)), "expected 4 axes"),
        (np.zeros((4, 2, 1, 5, 5)), "expected 4 axes"),
        (np.zeros((4, 2, 5, 5)), "2 channels, expected 1"),
        (np.zeros((4, 5, 5, 4)), "expected 1"),
        (np.zeros((0, 1, 5, 5)), "holds no pixel"),
        (np.zeros((4, 5, 5), dtype=np.int64), "expected uint8"),
        (np.array([None, "image"], dtype=object), "found an array of type object"),
        (np.array(["a", "b"]), "expected numbers"),
    ],
)
def test_bad_arrays_are_refused_with_one_clear_error(array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TransformedImages(array)


@pytest.mark.parametrize("shape", [(4, 6, 8), (4, 1, 6, 8), (4, 6, 8, 1)])
def test_usual_layouts_become_channels_first(shape: tuple[int, ...]) -> None:
    assert Images.from_array(np.zeros(shape, dtype=np.uint8)).image_shape == (1, 6, 8)


def test_colour_may_come_last() -> None:
    array = np.random.default_rng(0).random((4, 6, 8, 3))
    images = Images.from_array(array)
    assert images.pixels.dtype == torch.float32
    np.testing.assert_allclose(images.pixels, array.transpose(0, 3, 1, 2), rtol=1e-6)


def test_black_and_white_images_become_bytes() -> None:
    pixels = Images.from_array(np.eye(5, dtype=bool)[None]).pixels
    assert pixels.dtype == torch.uint8
    assert pixels.unique().tolist() == [0, 255]


def test_read_only_and_foreign_byte_order_arrays_are_taken() -> None:
    array = np.full((3, 4, 4), 0.5, dtype=">f4")
    array.setflags(write=False)
    assert (Images.from_array(array).pixels == 0.5).all()


def test_labels_must_match() -> None:
    with pytest.raises(DataError, match="4 images but 3 labels"):
        Images(pixels=torch.zeros(4, 1, 5, 5), labels=torch.zeros(3))


def test_slices_keep_labels() -> None:
    images = Images(pixels=torch.zeros(6, 1, 5, 5), labels=torch.arange(6))
    assert images[2:4].labels.tolist() == [2, 3]
    assert images.spaced(3).labels.tolist() == [0, 2, 4]
    assert len(images.spaced(100)) == 6

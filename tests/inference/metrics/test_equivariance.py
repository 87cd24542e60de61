import numpy as np
import pytest
import torch

from mutoscope.inference.metrics.equivariance import equivariance_error
from mutoscope.zoo.errors import DataError


def test_a_perfect_prediction_has_no_error() -> None:
    images = torch.rand(3, 4, 1, 5, 5)
    error = equivariance_error(images, images)
    assert error.total == error.floor == 0


def test_errors_add_over_pixels_and_frames_after_the_first() -> None:
    images = np.zeros((2, 4, 3, 5, 6))
    predicted = np.full_like(images, 0.1)
    predicted[:, 0] = 0.5
    error = equivariance_error(images, predicted)
    np.testing.assert_allclose(error.per_frame, [45, 9, 9, 9])
    assert error.total == pytest.approx(27)
    assert error.floor == pytest.approx(45)


def test_sequences_are_averaged() -> None:
    images, predicted = torch.rand(2, 6, 3, 1, 4, 4)
    whole = equivariance_error(images, predicted).per_frame
    halves = [
        equivariance_error(images[rows], predicted[rows]).per_frame
        for rows in (slice(0, 3), slice(3, 6))
    ]
    np.testing.assert_allclose(whole, np.mean(halves, 0))


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="same shape"):
        equivariance_error(torch.rand(2, 3, 1, 4, 4), torch.rand(2, 3, 1, 4, 5))
    with pytest.raises(DataError, match="two frames"):
        equivariance_error(torch.rand(2, 1, 1, 4, 4), torch.rand(2, 1, 1, 4, 4))
    with pytest.raises(DataError, match="NaN"):
        equivariance_error(torch.full((2, 3, 1, 4, 4), torch.nan), torch.rand(2, 3, 1, 4, 4))

"""What blocks add is drawn on grey, less constants that are known to cancel."""

import numpy as np
import pytest

from mutoscope.inference.plots import plot_parts
from mutoscope.zoo.errors import DataError

from .samples import words

SIDE, IMAGES = 4, 3


@pytest.fixture
def added():
    """Two blocks, of which the second adds nothing to the first image."""
    parts = np.random.default_rng(0).random((IMAGES, 2, 3, SIDE, SIDE))
    parts[0, 1] = 0
    return parts


def tile(figure, row, column):
    """Return what is drawn in a row and a column; gaps are one pixel wide."""
    canvas = figure.axes[0].images[0].get_array()
    top, left = row * (SIDE + 1), column * (SIDE + 1)
    return np.asarray(canvas[top : top + SIDE, left : left + SIDE])


def test_a_block_that_adds_nothing_is_grey_if_no_constant_is_taken_off(added):
    images = added.sum(1) / 2
    figure = plot_parts(images, images, added, constants=np.zeros(added.shape[1:]))
    np.testing.assert_allclose(tile(figure, 3, 0), 0.5)
    np.testing.assert_allclose(
        tile(figure, 2, 1), 0.5 + 0.5 * added[1, 0].transpose(1, 2, 0) / added.max()
    )
    assert "less" not in words(figure)


def test_else_means_are_taken_off(added):
    images = added.sum(1) / 2
    figure = plot_parts(images, images, added)
    mean = np.mean([tile(figure, 2, k) for k in range(IMAGES)], 0)
    np.testing.assert_allclose(mean, 0.5)
    assert "(less a constant)" in words(figure)
    same = plot_parts(images, images, added, constants=added.mean(0))
    np.testing.assert_array_equal(tile(same, 3, 0), tile(figure, 3, 0))


def test_constants_of_another_shape_are_refused(added):
    images = added.sum(1) / 2
    with pytest.raises(DataError, match=r"constants \(1, 3, 4, 4\)"):
        plot_parts(images, images, added, constants=np.zeros((1, 3, SIDE, SIDE)))

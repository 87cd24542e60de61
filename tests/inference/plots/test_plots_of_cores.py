import numpy as np
import pytest

from mutoscope.inference.plots import plot_information, plot_spectrum, plot_strips
from mutoscope.zoo.errors import DataError

from .samples import words


def test_the_spectrum_is_drawn_in_order_with_its_floor() -> None:
    left, right = plot_spectrum([-0.5, 1.0, 0.0], floor=-1.0).axes[:2]
    np.testing.assert_allclose(left.lines[0].get_ydata(), [1.0, 0.0, -0.5])
    np.testing.assert_allclose(right.lines[0].get_ydata(), np.cumsum([2.0, 1.0, 0.5]) / 3.5)
    assert "noise floor" in words(left.figure)


def test_colours_of_the_information_end_where_it_matters() -> None:
    image = plot_information(np.full((3, 3), 0.01)).axes[0].images[0]
    assert image.get_clim() == (0, 0.5)


def test_rows_of_images_must_fit_together() -> None:
    with pytest.raises(DataError, match="rows of shapes"):
        plot_strips({"a": np.zeros((2, 1, 4, 4)), "b": np.zeros((3, 1, 4, 4))}, title="")
    with pytest.raises(DataError, match="NaN"):
        plot_strips({"a": np.full((2, 1, 4, 4), np.nan)}, title="")

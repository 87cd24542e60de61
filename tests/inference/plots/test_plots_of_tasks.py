import numpy as np
import pytest

from mutoscope.inference.metrics import importance_scores
from mutoscope.inference.plots import plot_few_shot, plot_heads, plot_importance
from mutoscope.zoo.errors import DataError

from .samples import words


def heads():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(12, 7)) * (rng.random((12, 7)) < 0.25)
    weights[:, 4] = 1.5
    return weights


def test_features_are_ordered_by_use_and_keep_their_names():
    weights = heads()
    inclusion = (weights != 0) * 0.9 + 0.05
    figure = plot_heads(weights, inclusion=inclusion)
    left, right = figure.axes[:2]
    names = [int(label.get_text()) for label in left.get_xticklabels()]
    assert names[0] == 4
    np.testing.assert_allclose(left.images[0].get_array(), weights[:, names])
    np.testing.assert_allclose(right.images[0].get_array(), inclusion[:, names])
    low, high = left.images[0].get_clim()
    assert -low == high == np.abs(weights).max()


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="probabilities"):
        plot_heads(heads(), inclusion=2 * np.ones((12, 7)))
    with pytest.raises(DataError, match="2 names for 7 features"):
        plot_heads(heads(), features=["a", "b"])
    with pytest.raises(DataError, match="NaN"):
        plot_heads(np.full((2, 2), np.nan))


def test_importance_has_a_row_for_each_factor():
    matrix = np.array([[0.9, 0.0], [0.1, 0.2], [0.0, 0.8]])
    figure = plot_importance(importance_scores(matrix), factors=["x", "y"])
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), matrix.T)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "y"]
    with pytest.raises(DataError, match="1 names for 2 factors"):
        plot_importance(importance_scores(matrix), factors=["x"])


def test_curves_are_means_with_two_standard_errors():
    rng = np.random.default_rng(0)
    scores = {"sparse": rng.random((3, 50)), "dense": rng.random((3, 50))}
    figure = plot_few_shot([5, 10, 25], scores)
    line = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), scores["sparse"].mean(1))
    bar = figure.axes[0].containers[0].lines[2][0].get_segments()[0]
    expected = 4 * scores["sparse"][0].std(ddof=1) / np.sqrt(50)
    assert bar[1, 1] - bar[0, 1] == pytest.approx(expected)
    assert {"sparse", "dense"} <= set(words(figure).split())
    with pytest.raises(DataError, match="2 such numbers"):
        plot_few_shot([5, 10], scores)

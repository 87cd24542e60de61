import numpy as np
import pytest

from mutoscope.inference.metrics import importance_scores
from mutoscope.inference.plots import plot_few_shot, plot_heads, plot_importance, plot_use
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


def rows_of_use():
    uses = [{"use of feature 0": 0.6 + k / 10, "use of feature 1": 0.4 - k / 10} for k in range(5)]
    return [use | {"step": 10 * k, "elbo": -1.0} for k, use in enumerate(uses, 1)]


def test_use_has_a_line_for_each_feature_and_a_name_for_those_in_use_in_the_end():
    figure = plot_use(rows_of_use())
    assert len(figure.axes) == 1
    lines = figure.axes[0].get_lines()
    np.testing.assert_allclose(lines[1].get_ydata(), [0.4, 0.3, 0.2, 0.1, 0.0], atol=1e-12)
    assert "1 of 2 in the end" in figure.get_suptitle()
    assert "feature 0" in words(figure)
    assert "feature 1" not in words(figure)
    skilled = [row | {"skill of heads": 0.5} for row in rows_of_use()]
    figure = plot_use(skilled, names=["size", "hue"])
    assert "size" in words(figure)
    np.testing.assert_allclose(figure.axes[1].get_lines()[0].get_ydata(), 0.5)


def test_rows_may_lack_use():
    rows = [{"step": 5, "elbo": -2.0}, *rows_of_use(), {"step": 60, "elbo": -1.0}]
    figure = plot_use([row | {"skill of heads": 0.5} if "elbo" in row else row for row in rows])
    assert "1 of 2 in the end" in figure.get_suptitle()


def test_a_history_without_use_or_with_other_names_is_refused():
    with pytest.raises(DataError, match="Found 0 columns"):
        plot_use([{"step": 1, "elbo": 0.0}])
    with pytest.raises(DataError, match="and 1 names"):
        plot_use(rows_of_use(), names=["size"])
    with pytest.raises(DataError, match="step"):
        plot_use([])

import numpy as np
import pytest
import torch

from mutoscope.inference.labelled import to_arviz
from mutoscope.inference.plots import (
    plot_calibration,
    plot_coverage,
    plot_forest,
    plot_khat,
    plot_pairs,
    plot_speeds,
    plot_traversals,
)
from mutoscope.inference.units import SpeedUnits
from mutoscope.zoo.errors import ConfigError, DataError

from .conftest import FIELDS
from .samples import words


def test_uniform_places_stay_in_the_band_and_others_are_named():
    rng = np.random.default_rng(0)
    uniform, narrow = rng.random((2, 400))
    narrow = np.where(narrow < 0.5, 2 * narrow**2, 1 - 2 * (1 - narrow) ** 2)
    figure = plot_calibration(np.stack([uniform, narrow]), names=["good", "narrow"])
    assert "1 of 2 within" in words(figure)
    assert "narrow" in words(figure)
    assert "good" not in words(figure)


def test_curves_are_what_the_distribution_function_is_too_large_by():
    figure = plot_calibration([[0.1] * 10 + [0.9] * 10], names=["ends"])
    line = next(line for line in figure.axes[0].lines if line.get_label() == "ends")
    x, y = line.get_data()
    np.testing.assert_allclose(y, np.where(x < 0.1, 0.0, np.where(x < 0.9, 0.5, 1.0)) - x)


def test_coverage_shows_each_share_between_its_ends():
    share = np.array([[0.3, 0.5], [0.7, 0.92]])
    figure = plot_coverage([0.5, 0.9], share, share - 0.1, share + 0.05, names=["one", "two"])
    for index, container in enumerate(figure.axes[0].containers):
        line, _, (whiskers,) = container
        np.testing.assert_allclose(line.get_ydata(), share[:, index])
        ends = np.array([segment[:, 1] for segment in whiskers.get_segments()])
        np.testing.assert_allclose(ends, share[:, [index]] + [-0.1, 0.05])
    claimed = [segment[0, 1] for segment in figure.axes[0].collections[0].get_segments()]
    np.testing.assert_allclose(claimed, [0.5, 0.9])
    assert {"50%", "90%"} <= set(words(figure).split())


def test_every_datum_has_its_k_and_its_kind():
    khat = np.array([0.1, 0.6, 0.9, 0.2])
    figure = plot_khat(khat)
    points = np.concatenate([line.get_xydata() for line in figure.axes[0].lines[:3]])
    np.testing.assert_allclose(points[np.argsort(points[:, 0]), 1], khat)
    assert "50% good" in words(figure)
    assert "25% weights can mend it" in words(figure)
    assert "25% weights cannot" in words(figure)
    assert "50% weights cannot" in words(plot_khat(khat, largest=0.55))


def test_a_forest_shows_quantiles_of_every_draw(idata):
    speeds = idata["posterior"]["speed"]
    axes = plot_forest(speeds, sequence=3).axes[2]
    draws = speeds.values[0, :, 3, :, 2]
    wide, narrow = axes.collections
    for lines, ends in ((wide, (0.05, 0.95)), (narrow, (0.25, 0.75))):
        drawn = np.array([segment[:, 0] for segment in lines.get_segments()])
        np.testing.assert_allclose(drawn, np.quantile(draws, ends, axis=0).T)
    np.testing.assert_allclose(axes.lines[1].get_xdata(), np.median(draws, axis=0))


def test_forests_of_two_sequences_can_be_compared(idata):
    one, other = (plot_forest(idata["posterior"]["speed"], sequence=k) for k in (0, 4))
    assert [axes.get_xlim() for axes in one.axes] == [axes.get_xlim() for axes in other.axes]


def test_pairs_say_how_often_fields_move_together(idata):
    speeds = idata["posterior"]["speed"]
    text = words(plot_pairs(speeds))
    values = speeds.values.reshape(-1, 3)
    moving = values != 0
    for share in (moving[:, 0].mean(), moving[:, 2].mean()):
        assert f"moves in {share:.0%}" in text
    both = moving[:, 0] & moving[:, 2]
    correlation = np.corrcoef(values[both][:, [0, 2]].T)[0, 1]
    assert f"in {both.mean():.0%}\nr = {correlation:.2f}" in text


def test_traversals_show_the_pixels_as_they_are():
    frames = torch.rand(2, 3, 4, 1, 5, 5)
    axes = plot_traversals(frames, (-1.5, 0.5, 2), fields=["a", "b"]).axes[1]
    canvas = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(canvas[:5, :5], frames[1, 0, 0, 0])
    np.testing.assert_allclose(canvas[-5:, -5:], frames[1, 2, 3, 0])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["\N{MINUS SIGN}1.5", "0.5", "2"]
    assert axes.get_title(loc="left") == "b"


def test_speeds_in_units_need_no_truth(idata, groups):
    units = SpeedUnits.learn(idata)
    del groups["constant_data"]
    unlabelled = to_arviz(groups, {"posterior": {"field": FIELDS}})
    figure = plot_speeds(unlabelled, sequences=[1, 4], units=units)
    assert "truth" not in words(figure)
    assert "degree per frame" in words(figure)
    truth = idata["constant_data"]["speed"].values
    for axes, (row, column) in zip(figure.axes, np.ndindex(2, 2), strict=True):
        (median,) = (x for x in axes.lines if x.get_label() == "inferred median")
        assert not any(line.get_label() == "true" for line in axes.lines)
        expected = truth[(1, 4)[row], :, column]
        np.testing.assert_allclose(median.get_ydata()[:-1], expected, rtol=0.2)


def test_speeds_in_units_stand_beside_the_truth(idata):
    figure = plot_speeds(idata, sequences=[1], units=SpeedUnits.learn(idata))
    (true,) = (line for line in figure.axes[1].lines if line.get_label() == "true")
    expected = idata["constant_data"]["speed"].values[1, :, 1]
    np.testing.assert_allclose(true.get_ydata()[:-1], expected)


def test_what_cannot_be_drawn_is_refused(idata):
    speeds = idata["posterior"]["speed"]
    with pytest.raises(DataError, match="1 names for 2"):
        plot_calibration(np.full((2, 9), 0.5), names=["one"])
    with pytest.raises(DataError, match=r"places from 0\.5 to 2"):
        plot_calibration([[0.5, 2.0]])
    with pytest.raises(DataError, match="1 names"):
        plot_coverage([0.5], [[0.5, 0.5]], [[0.4, 0.4]], [[0.6, 0.6]], names=["one"])
    with pytest.raises(DataError, match="one share and two ends"):
        plot_coverage([0.5, 0.9], [0.5, 0.9], [0.4], [0.6, 0.95])
    with pytest.raises(DataError, match="datum"):
        plot_khat(np.zeros((2, 2)))
    with pytest.raises(ConfigError, match="0 to 5"):
        plot_forest(speeds, sequence=6)
    with pytest.raises(DataError, match="chain, draw"):
        plot_forest(speeds[0])
    with pytest.raises(DataError, match="at least two"):
        plot_pairs(speeds[..., :1])
    with pytest.raises(DataError, match="1 speeds"):
        plot_traversals(torch.rand(2, 3, 4, 1, 5, 5), [1.0])
    with pytest.raises(DataError, match="1 or 3 channels"):
        plot_traversals(torch.rand(2, 1, 4, 2, 5, 5), [1.0])

"""Coverage of central intervals, where truths are known."""

import numpy as np
import pytest
from xarray import DataArray

from mutoscope.inference.diagnostics import interval_coverage
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import ConfigError, DataError

from ..linear_gaussian import exact_pair, simulated

LEVELS = [0.5, 0.8, 0.9, 0.95]


def covered(count=300, **options):
    data, path = simulated(count)
    idata = posterior(*exact_pair(**options), data, draws=200, groups=("posterior",))
    return interval_coverage(idata["posterior"]["path"], path.numpy())


def test_intervals_of_the_posterior_hold_the_truth_as_often_as_they_say():
    found = covered()
    assert found.share.dims == ("level", "axis")
    assert found.share["level"].values.tolist() == LEVELS
    assert found.share["axis"].values.tolist() == ["position", "velocity"]
    for level in LEVELS:
        assert (found.lower.sel(level=level) < level).all()
        assert (found.upper.sel(level=level) > level).all()
    assert (found.upper - found.lower).max() < 0.15
    assert not found.concerns


@pytest.mark.parametrize(("narrowed", "word"), [(0.5, "narrow"), (2.0, "wide")])
def test_intervals_of_another_width_are_caught(narrowed, word):
    found = covered(narrowed=narrowed)
    assert len(found.concerns) == len(LEVELS)
    assert all(f"too {word}" in concern for concern in found.concerns)
    assert "90% intervals hold the truth in" in str(found)


@pytest.mark.parametrize("draws", [3, 9, 200])
def test_few_draws_hold_the_truth_as_often_as_many(draws):
    random = np.random.default_rng(0)
    found = interval_coverage(random.normal(size=(draws, 20_000)), random.normal(size=20_000))
    np.testing.assert_allclose(found.share, LEVELS, atol=0.015)


def test_point_masses_are_held_as_often_as_the_rest():
    random = np.random.default_rng(0)
    draws, truth = (
        (random.random(shape) < 0.3) * random.normal(size=shape) for shape in ((50, 20_000), 20_000)
    )
    np.testing.assert_allclose(interval_coverage(draws, truth).share, LEVELS, atol=0.015)


def test_the_width_is_that_of_the_quantiles():
    draws = 3 * np.random.default_rng(0).normal(size=(20_000, 10, 2))
    found = interval_coverage(draws, np.zeros((10, 2)))
    np.testing.assert_allclose(found.width, 6 * np.array([0.674, 1.282, 1.645, 1.960]), rtol=0.02)


def test_the_width_of_few_draws_is_that_between_their_ranks():
    draws = np.array([2.0, 0.0, 1.0])[:, None]  # ranks 1 and 3 of 4 are the quartiles
    assert interval_coverage(draws, np.zeros(1), levels=[0.5]).width.values.tolist() == [2.0]


def test_elements_that_go_together_count_once():
    random = np.random.default_rng(0)
    draws, truth = random.normal(size=(99, 200)), random.normal(size=200)
    once = interval_coverage(draws, truth)
    same = interval_coverage(np.stack([draws] * 5, -1), np.stack([truth] * 5, -1))
    free = interval_coverage(random.normal(size=(99, 200, 5)), random.normal(size=(200, 5)))
    once, same, free = (each.upper - each.lower for each in (once, same, free))
    np.testing.assert_allclose(same, once, rtol=0.1)
    np.testing.assert_allclose(free, once / np.sqrt(5), rtol=0.25)


def test_confidence_intervals_hold_all_at_once():
    random = np.random.default_rng(0)
    wrong = [
        bool(
            interval_coverage(random.normal(size=(49, 60, 3)), random.normal(size=(60, 3))).concerns
        )
        for _ in range(60)
    ]
    assert np.mean(wrong) < 0.12


def test_axes_without_labels_can_be_told_apart():
    draws = DataArray(np.zeros((5, 4, 3)), dims=("draw", "datum", "field"))
    assert interval_coverage(draws, np.zeros((4, 3))).share.dims == ("level",)
    assert interval_coverage(draws, np.zeros((4, 3)), by=["field"]).share.dims == ("level", "field")


def test_truths_with_names_may_have_their_axes_in_any_order():
    random = np.random.default_rng(0)
    draws = DataArray(random.normal(size=(5, 4, 3)), dims=("draw", "datum", "field"))
    truth = DataArray(random.normal(size=(4, 3)), dims=("datum", "field"))
    one, two = (interval_coverage(draws, each).share for each in (truth, truth.T))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("shape", [(4,), (3, 4), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match="the same shape"):
        interval_coverage(np.zeros((9, 4, 3)), np.zeros(shape))


def test_numbers_that_are_none_levels_and_axes_are_refused():
    draws, truth = np.zeros((9, 4)), np.zeros(4)
    with pytest.raises(DataError, match="truth that are NaN"):
        interval_coverage(draws, truth * np.nan)
    for options in ({"levels": [1.0]}, {"by": ["field"]}):
        with pytest.raises(ConfigError, match="strictly between 0 and 1"):
            interval_coverage(draws, truth, **options)

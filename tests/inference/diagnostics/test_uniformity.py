"""Places among draws, and the test of their being uniform."""

import numpy as np
import pytest
from xarray import DataArray

from mutoscope.inference.diagnostics.uniformity import (
    bands,
    distribution_function,
    place_among,
    uniform_p_value,
)


def mixed(random, shape):
    """Draw numbers that are 0 half of the time, else 1 or normal."""
    kind = random.integers(4, size=shape)
    return np.select([kind < 2, kind == 2], [0.0, 1.0], random.normal(size=shape))


@pytest.mark.parametrize("draws", [1, 3, 50])
def test_places_of_truths_that_are_like_the_draws_are_uniform_whatever_the_ties(draws):
    random = np.random.default_rng(0)
    truth = DataArray(mixed(random, 4000), dims="datum")
    places = place_among(
        DataArray(mixed(random, (draws, 4000)), dims=("draw", "datum")), truth, random
    )
    assert uniform_p_value(places.values) > 0.01


def test_places_are_ranks():
    draws = DataArray(np.arange(99.0), dims="draw").expand_dims(datum=3, axis=1)
    places = place_among(
        draws, DataArray([-1.0, 49.5, 200.0], dims="datum"), np.random.default_rng(0)
    )
    np.testing.assert_allclose(places, [0.005, 0.505, 0.995], atol=0.005)


@pytest.mark.parametrize("count", [20, 150, 1000])
@pytest.mark.parametrize("probability", [0.5, 0.95])
def test_bands_hold_a_uniform_sample_as_often_as_they_say(count, probability):
    samples = np.random.default_rng(1).random((4000, count))
    _, share = distribution_function(samples)
    lower, upper = bands(count, probability)
    held = ((share >= lower) & (share <= upper)).all(-1).mean()
    # Counts are whole numbers, so the bands can only be a little too wide.
    assert probability - 0.03 < held < probability + 0.06


def test_the_p_value_says_the_same_as_the_bands():
    random = np.random.default_rng(2)
    lower, upper = bands(200, 0.9)
    for skew in np.linspace(0.8, 1.3, 40):
        sample = random.random(200) ** skew
        _, share = distribution_function(sample)
        inside = bool(((share >= lower) & (share <= upper)).all())
        assert inside == (uniform_p_value(sample) > 0.1)


def test_p_values_of_uniform_samples_are_uniform():
    random = np.random.default_rng(3)
    p_values = np.array([uniform_p_value(random.random(100)) for _ in range(1000)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p_values <= level) == pytest.approx(level, abs=0.04)


@pytest.mark.parametrize("a_b", [(0.5, 0.5), (2.0, 2.0), (1.0, 1.4)], ids=["U", "hump", "slope"])
def test_what_is_not_uniform_is_caught(a_b):
    assert uniform_p_value(np.random.default_rng(4).beta(*a_b, size=1000)) < 1e-3


def test_one_number_alone_says_nothing():
    assert uniform_p_value(np.array([0.3])) > 0.5

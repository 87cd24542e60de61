"""Angles against angles, wherever the circle is cut."""

import math

import numpy as np
import pytest

from mutoscope.inference.metrics import angle_agreement
from mutoscope.zoo.errors import DataError


@pytest.mark.parametrize("turn", [0.0, 1.0, math.pi, -math.pi, 100.0])
def test_where_the_circle_is_cut_does_not_matter(turn):
    rng = np.random.default_rng(0)
    true = rng.uniform(-math.pi, math.pi, 50)
    draws = true + rng.normal(0.3, 0.2, (400, 50))
    plain, turned = angle_agreement(draws, true), angle_agreement(draws + turn, true + turn)
    for name in ("error", "lower", "upper"):
        np.testing.assert_allclose(getattr(turned, name), getattr(plain, name), atol=1e-9)
    assert plain.error == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal(plain.covered, turned.covered)


def test_intervals_of_the_true_law_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    centre = rng.uniform(-math.pi, math.pi, 4000)
    true, draws = (rng.normal(centre, 0.5, shape) for shape in (4000, (500, 4000)))
    assert angle_agreement(draws, true, level=0.8).covered.mean() == pytest.approx(0.8, abs=0.025)
    assert angle_agreement(draws, true).median_error == pytest.approx(0.5 * 0.6745, abs=0.02)


def test_an_interval_is_the_shortest_arc_with_its_share_of_draws():
    draws = np.concatenate([np.full(90, math.pi - 0.1), np.full(10, 0.0)])[:, None]
    found = angle_agreement(draws, [-math.pi + 0.1])  # 0.2 away, across the cut
    assert found.upper - found.lower == pytest.approx([0.0], abs=1e-12)
    assert found.lower == pytest.approx([-0.2])
    assert not found.covered[0]


@pytest.mark.parametrize(
    ("draws", "true", "options"),
    [
        (np.zeros((3, 2)), np.zeros(3), {}),
        (np.zeros(3), np.zeros(3), {}),
        (np.full((3, 2), np.nan), np.zeros(2), {}),
        (np.zeros((3, 2)), np.zeros(2), {"level": 1.0}),
    ],
)
def test_what_does_not_fit_is_refused(draws, true, options):
    with pytest.raises(DataError):
        angle_agreement(draws, true, **options)

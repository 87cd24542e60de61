"""Codes of which every score is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier

from mutoscope.inference.metrics import (
    dci,
    disentanglement,
    explained_variance,
    feature_use,
    importance_scores,
    info_mec,
    interventional_robustness,
    mean_correlation,
    separability,
    shared_information,
    support_f1,
)
from mutoscope.zoo.errors import ConfigError, DataError

GRID = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), -1).reshape(-1, 3)


@pytest.fixture
def factors() -> np.ndarray:
    """Return three factors of four values, each combination nine times, shuffled."""
    return np.random.default_rng(0).permutation(np.repeat(GRID, 9, axis=0))


PERFECT = (
    "DCI disentanglement",
    "DCI completeness",
    "DCI informativeness",
    "MIG",
    "modularity",
    "MCC (Pearson)",
    "MCC (Spearman)",
    "R²",
    "IRS",
)


def test_importances_that_are_below_zero_by_rounding_are_zero(monkeypatch):
    found = GradientBoostingClassifier.feature_importances_.fget
    rounded = property(lambda self: found(self) - 1e-18)
    monkeypatch.setattr(GradientBoostingClassifier, "feature_importances_", rounded)
    codes = np.random.default_rng(0).random((90, 3))
    codes[:, 2] = 0.0  # never chosen by a tree
    scores = dci(codes, (codes[:, :2] > 0.5).astype(int), trees=3)
    assert (scores.importance[2] == 0).all()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_factors_themselves_in_any_order_and_scale_are_perfect(factors, order):
    found = disentanglement(-3 * factors[:, order] + 1, factors, trees=8)
    for name in PERFECT:
        assert found[name] == pytest.approx(1, abs=1e-6), name
    assert found["InfoM"] > 0.95
    assert found["InfoC"] > 0.95
    assert found["InfoE"] > 0.99


def test_a_code_twice_costs_completeness_and_no_disentanglement(factors):
    codes = factors[:, [0, 1, 2, 0]]
    found = disentanglement(codes, factors, trees=8)
    assert found["DCI disentanglement"] == pytest.approx(1, abs=1e-6)
    assert found["modularity"] == pytest.approx(1, abs=1e-6)
    assert found["MIG"] == pytest.approx(2 / 3, abs=1e-6)
    # The first factor says as much in two of four codes: (1 / 2 - 1 / 4) / (1 - 1 / 4).
    assert found["InfoC"] == pytest.approx((2 + 1 / 3) / 3, abs=0.05)
    assert found["SAP"] <= 2 / 3
    assert found["MCC (Pearson)"] == pytest.approx(1, abs=1e-6)


def test_a_missing_factor(factors):
    codes = factors[:, :2]
    found = disentanglement(codes, factors, trees=8)
    assert found["MIG"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["MCC (Pearson)"] == pytest.approx(2 / 3, abs=1e-6)
    np.testing.assert_allclose(explained_variance(codes, factors), [1, 1, 0], atol=1e-6)
    assert mean_correlation(codes, factors).code_of_factor[2] == -1
    assert found["DCI informativeness"] < 0.85


def test_noise_says_nothing(factors):
    noise = np.random.default_rng(1).normal(size=(len(factors), 3))
    found = disentanglement(noise, factors, trees=8)
    for name in ("MIG", "SAP", "InfoE", "R²", "MCC (Pearson)", "MCC (Spearman)"):
        assert abs(found[name]) < 0.12, name
    assert found["DCI disentanglement"] < 0.3
    assert found["DCI informativeness"] < 0.4


def test_turned_codes_lose_nothing_and_are_no_factors():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(4000, 2))
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2)
    found = disentanglement(factors @ turn, factors, bins=4, trees=5)
    assert found["R²"] == pytest.approx(1)
    assert found["MCC (Pearson)"] == pytest.approx(math.sqrt(0.5), abs=0.02)
    assert found["SAP"] < 0.05
    assert found["MIG"] < 0.05
    assert found["DCI disentanglement"] < 0.2
    assert found["InfoM"] < 0.2


@given(st.integers(2, 6), st.integers(2, 6), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_scores_of_importances(codes, factors, random):
    equal = importance_scores(np.ones((codes, factors)))
    assert equal.disentanglement == pytest.approx(0, abs=1e-9)
    assert equal.completeness == pytest.approx(0, abs=1e-9)
    size = min(codes, factors)
    own = importance_scores(np.diag([random.uniform(0.1, 5) for _ in range(size)]))
    assert own.disentanglement == pytest.approx(1)
    assert own.completeness == pytest.approx(1)


def test_entropies_of_importances_are_weighted_by_what_matters():
    found = importance_scores(np.array([[3.0, 0.0], [0.5, 0.5]]))
    assert found.disentanglement == pytest.approx(3 / 4)
    share = np.array([6 / 7, 1 / 7])
    entropy = -(share * np.log2(share)).sum()
    assert found.completeness == pytest.approx((3.5 * (1 - entropy) + 0.5) / 4)
    assert math.isnan(found.informativeness)
    with pytest.raises(DataError, match="negative"):
        importance_scores(np.array([[-1.0, 2.0]]))


def test_modularity_by_hand():
    """One code of two bits holds both; the other holds one."""
    factors = np.repeat(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), 25, axis=0)
    codes = np.column_stack([2 * factors[:, 0] + factors[:, 1], factors[:, 1]])
    found = shared_information(codes, factors)
    np.testing.assert_allclose(
        found.information, math.log(2) * np.array([[1, 1], [0, 1]]), atol=1e-12
    )
    np.testing.assert_allclose(found.entropy, math.log(2))
    assert found.modularity == pytest.approx(0.5)
    assert found.gap == pytest.approx(0.5)


def test_robustness_by_hand():
    """A code of one factor plus half another strays by that half, of three halves in all."""
    values = np.array([-1.0, 1.0])
    factors = np.stack(np.meshgrid(values, values, indexing="ij"), -1).reshape(-1, 2)
    codes = np.column_stack([factors @ [1.0, 0.5], 0 * factors[:, 0], 3 * factors[:, 1]])
    found = interventional_robustness(codes, factors, quantile=1.0)
    np.testing.assert_allclose(found.scores[0], [2 / 3, 1 / 3])
    np.testing.assert_array_equal(found.parent_of_code, [0, -1, 1])
    assert found.score == pytest.approx((1.5 * 2 / 3 + 3 * 1) / 4.5)
    with pytest.raises(DataError, match="never change"):
        interventional_robustness(np.zeros((4, 2)), factors)
    with pytest.raises(ConfigError, match="quantile"):
        interventional_robustness(codes, factors, quantile=0)


def test_separability_by_hand():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2000, 2))
    codes = np.column_stack([factors[:, 0] + factors[:, 1], factors[:, 1]])
    codes = (codes - codes.mean(0)) / codes.std(0)
    found = separability(codes, factors, continuous=True)
    expected = np.corrcoef(codes.T, factors.T)[:2, 2:] ** 2
    np.testing.assert_allclose(found.scores, expected, atol=1e-9)
    gaps = np.abs(expected[0] - expected[1])
    assert found.score == pytest.approx(gaps.mean())
    classes = (factors > 0).astype(float)
    accuracies = separability(classes, classes)
    assert np.diag(accuracies.scores) == pytest.approx(1)
    assert accuracies.score == pytest.approx(0.5, abs=0.05)


def test_ranks_do_not_see_what_rises():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(500, 2))
    codes = np.column_stack([-np.exp(3 * factors[:, 1]), factors[:, 0] ** 3])
    assert mean_correlation(codes, factors, by="spearman").score == pytest.approx(1)
    assert mean_correlation(codes, factors).score < 0.9
    np.testing.assert_array_equal(mean_correlation(codes, factors).code_of_factor, [1, 0])
    with pytest.raises(ConfigError, match="kendall"):
        mean_correlation(codes, factors, by="kendall")


def test_pruned_codes_do_not_count():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (1500, 2)).astype(float)
    codes = np.column_stack([factors + 0.01 * rng.normal(size=factors.shape), 0.01 * factors[:, 0]])
    found = info_mec(codes, factors)
    np.testing.assert_array_equal(found.active, [True, True, False])
    assert found.modularity > 0.95
    assert found.compactness > 0.95


def test_use_of_features():
    weights = np.array([[[2.0, 0.0, 0.01]], [[0.0, -1.0, 0.5]], [[4.0, 0.0, 0.0]]])
    found = feature_use(weights)
    np.testing.assert_array_equal(found.active, [[1, 0, 0], [0, 1, 1], [1, 0, 0]])
    assert found.per_task == pytest.approx(4 / 3)
    assert found.used == 3
    assert found.share.sum() == pytest.approx(1)
    truth = np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)
    # Three right of four used and four true.
    assert support_f1(found.active, truth, np.array([0, 1])) == pytest.approx(6 / 8)
    assert support_f1(found.active, truth, np.array([0, -1])) == pytest.approx(4 / 8)
    with pytest.raises(DataError, match="all zero"):
        feature_use(np.zeros((2, 3)))
    with pytest.raises(DataError, match="same ones"):
        support_f1(found.active, truth[:2], np.array([0, 1]))


@pytest.mark.parametrize(
    ("codes", "true", "message"),
    [
        (np.zeros((5, 2)), np.zeros((6, 2)), "same"),
        (np.full((5, 2), np.nan), GRID[:5], "NaN"),
        (GRID[:5], np.zeros((5, 2)), "same in all"),
        (np.zeros((0, 2)), GRID, "shape"),
    ],
)
@pytest.mark.parametrize(
    "score", [dci, shared_information, info_mec, separability, interventional_robustness]
)
def test_what_does_not_fit_is_refused(codes, true, message, score):
    with pytest.raises(DataError, match=message):
        score(codes, true)


def test_continuous_factors_ask_for_bins():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(500, 2))
    with pytest.raises(DataError, match="bins"):
        dci(factors, factors)
    with pytest.raises(ConfigError, match="bins=1"):
        dci(factors, factors, bins=1)
    with pytest.raises(ConfigError, match="train=1"):
        dci(factors, factors, bins=3, train=1.0)
    with pytest.raises(ConfigError, match="trees=0"):
        dci(factors, factors, bins=3, trees=0)
    found = dci(factors, factors, bins=3, trees=5)
    assert found.disentanglement > 0.9
    assert found.informativeness > 0.95


@pytest.mark.parametrize("often", [0.0, 1.0])
def test_bins_tell_rare_values_apart(often):
    factor = np.full((100, 1), often)
    factor[::10] = 1 - often
    found = shared_information(np.column_stack([factor, np.arange(100)]), factor, bins=5)
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    np.testing.assert_allclose(found.entropy, entropy)
    np.testing.assert_allclose(found.information[0], entropy)


def test_a_single_class_to_learn_from_is_refused():
    factor = np.repeat([0.0, 1.0], [20, 10])[:, None]
    for score in (separability, dci):
        with pytest.raises(DataError, match="single class of factor 0 among the 20 data"):
            score(np.arange(30.0)[:, None], factor)

import numpy as np
import pytest
import torch

from mutoscope.inference.metrics.matching import match_fields, sparse_mean
from mutoscope.zoo.errors import DataError


def sparse_speeds(rng: np.random.Generator, factors: int) -> np.ndarray:
    shape = (40, 8, factors)
    return (rng.random(shape) < 0.4) * rng.uniform(0.5, 1.5, shape)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_match_does_not_depend_on_order_sign_or_unit_of_the_fields(
    rng: np.random.Generator,
) -> None:
    true = sparse_speeds(rng, 3)
    order, units = [2, 0, 1], np.array([-0.1, 20.0, 3.0])
    matching = match_fields(true[..., order] * units, true)
    np.testing.assert_array_equal(matching.field_of_factor, [1, 2, 0])
    np.testing.assert_allclose(matching.correlation, 1.0)
    np.testing.assert_allclose(matching.spike_f1, 1.0)
    np.testing.assert_allclose(matching.scale, 1 / units[[1, 2, 0]])
    assert matching.correlation_matrix[2, 0] == pytest.approx(-1.0)


def test_correlations_are_pearsons(rng: np.random.Generator) -> None:
    true, inferred = sparse_speeds(rng, 2), rng.normal(size=(40, 8, 5))
    both = np.concatenate([true, inferred], -1).reshape(-1, 7)
    expected = np.corrcoef(both, rowvar=False)[:2, 2:]
    np.testing.assert_allclose(match_fields(inferred, true).correlation_matrix, expected)


def test_the_match_is_best_as_a_whole_not_greedy() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 30, 10))
    true = np.stack([a, a + 0.5 * b], -1)
    inferred = np.stack([a + 0.2 * b, -b], -1)
    matching = match_fields(inferred, true)
    size = np.abs(matching.correlation_matrix)
    assert matching.correlation.sum() == pytest.approx(max(size.trace(), size[:, ::-1].trace()))
    assert sorted(matching.field_of_factor) == [0, 1]


def test_a_field_that_never_changes_correlates_with_nothing(rng: np.random.Generator) -> None:
    true = sparse_speeds(rng, 2)
    inferred = np.stack([np.zeros((40, 8)), np.ones((40, 8)), true[..., 0]], -1)
    matrix = match_fields(inferred, true).correlation_matrix
    np.testing.assert_array_equal(matrix[:, :2], 0)
    assert match_fields(inferred, np.zeros_like(true)).correlation.tolist() == [0, 0]


def test_factors_without_a_field_are_marked(rng: np.random.Generator) -> None:
    true = sparse_speeds(rng, 3)
    matching = match_fields(true[..., 1:2], true)
    np.testing.assert_array_equal(matching.field_of_factor, [-1, 0, -1])
    np.testing.assert_allclose(matching.correlation, [0, 1, 0])


def test_active_frames_tell_speed_from_being_on(rng: np.random.Generator) -> None:
    true = sparse_speeds(rng, 1)
    inferred = (true != 0) * rng.uniform(0.9, 1.1, true.shape)
    assert match_fields(inferred, true).correlation[0] > 0.8
    assert match_fields(inferred, true, active_only=True).correlation[0] < 0.3
    assert match_fields(inferred, true).spike_f1[0] == 1


def test_too_few_active_frames_say_nothing() -> None:
    true = np.zeros((1, 9, 1))
    true[0, :3, 0] = [1, 2, 3]
    assert match_fields(true, true, active_only=True).correlation[0] == 0


def test_one_speed_for_many_draws_keeps_its_zeros() -> None:
    draws = torch.tensor([[0.0, 2.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(sparse_mean(draws), [0.0, 3.0, 0.0])


def test_speeds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="same ones"):
        match_fields(np.ones((3, 4, 2)), np.ones((3, 5, 2)))
    with pytest.raises(DataError, match="NaN"):
        match_fields(np.full((3, 4, 2), np.nan), np.ones((3, 4, 2)))
    with pytest.raises(DataError, match="sequence, time, field"):
        match_fields(np.ones((3, 4)), np.ones((3, 4, 2)))
    with pytest.raises(DataError, match="at least one"):
        match_fields(np.ones((0, 4, 2)), np.ones((0, 4, 2)))

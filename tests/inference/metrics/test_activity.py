import numpy as np
import pytest
import torch

from mutoscope.inference.metrics.activity import active_fields, distinct_fields, field_usage
from mutoscope.zoo.errors import ConfigError, DataError


@pytest.fixture
def spike() -> np.ndarray:
    return np.random.default_rng(0).random((20, 30, 8, 4)) < np.array([0.1, 0.3, 0.5, 0.01])


def test_active_fields_are_the_sum_of_the_usage(spike: np.ndarray) -> None:
    assert active_fields(spike) == pytest.approx(field_usage(spike).sum())
    np.testing.assert_allclose(field_usage(spike), [0.1, 0.3, 0.5, 0.01], atol=0.02)


def test_draws_and_their_probabilities_agree(spike: np.ndarray) -> None:
    probability = torch.as_tensor(spike, dtype=torch.float64).mean(0)
    assert active_fields(probability) == pytest.approx(active_fields(spike))


def test_copies_of_a_field_count_once_and_idle_fields_not_at_all(spike: np.ndarray) -> None:
    copies = np.concatenate([spike, spike[..., 1:2]], -1)
    assert distinct_fields(spike) == ((0,), (1,), (2,))
    assert distinct_fields(copies) == ((0,), (1, 4), (2,))
    assert distinct_fields(np.zeros((3, 4))) == ()


def test_always_active_fields_are_used_and_like_no_other() -> None:
    assert distinct_fields(np.ones((5, 6, 2))) == ((0,), (1,))


def test_fields_that_take_turns_are_distinct() -> None:
    one = np.arange(40) % 2
    assert distinct_fields(np.stack([one, 1 - one], -1)) == ((0,), (1,))


def test_what_are_no_spikes_is_refused() -> None:
    with pytest.raises(DataError, match="speed != 0"):
        active_fields(np.array([[0.0, 1.7]]))
    with pytest.raises(DataError, match="NaN"):
        field_usage(np.array([[np.nan]]))
    with pytest.raises(DataError, match="at least one"):
        active_fields(np.zeros((0, 3)))
    with pytest.raises(ConfigError, match="correlation"):
        distinct_fields(np.ones((3, 2)), correlation=1.5)

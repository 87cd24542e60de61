"""Parts of a sum are known up to their order and constants that cancel."""

import numpy as np
import pytest
import torch

from mutoscope.inference.metrics import match_parts
from mutoscope.zoo.datasets import MovingBalls
from mutoscope.zoo.errors import DataError


@pytest.fixture(scope="module")
def true():
    split = MovingBalls(train_size=200, test_size=1).train
    return split.parts(torch.arange(200))[:, 0].double().numpy()


def test_order_and_constants_that_cancel_do_not_count(true):
    constant = np.random.default_rng(0).normal(size=true.shape[2:])
    found = match_parts(np.stack([true[:, 1] + constant, true[:, 0] - constant], 1), true)
    assert found.score == pytest.approx(1)
    assert found.block_of_truth.tolist() == [1, 0]


def test_a_part_that_draws_half_a_ball_explains_three_quarters_of_it(true):
    mixed = 0.5 * np.stack([true[:, 0], true[:, 1]], 1)
    assert match_parts(mixed, true).score == pytest.approx(0.75)


def test_a_part_that_draws_all_scores_less_than_the_two_it_is_made_of(true):
    both = np.stack([true.sum(1), np.zeros_like(true[:, 0])], 1)
    assert match_parts(both, true).score < 0.3


def test_spare_parts_that_are_dark_do_no_harm(true):
    spare = np.concatenate([np.zeros_like(true), true], 1)
    found = match_parts(spare, true)
    assert found.score == pytest.approx(1)
    assert found.block_of_truth.tolist() == [2, 3]


def test_what_cannot_be_compared_is_refused(true):
    with pytest.raises(DataError, match="the same data"):
        match_parts(true[:-1], true)
    with pytest.raises(DataError, match=r"parts \[0, 1\] are the same for all data"):
        match_parts(true, true[:1].repeat(len(true), 0))
    with pytest.raises(DataError, match="NaN"):
        match_parts(true * np.nan, true)

"""Scores of blocks on codes of which it is known how good they are."""

import numpy as np
import pytest

from mutoscope.inference.metrics.blocks import match_blocks
from mutoscope.zoo.datasets.balls import MovingBalls
from mutoscope.zoo.errors import ConfigError, DataError


def l_shaped(count=4000):
    y = MovingBalls("l_shape", train_size=count, test_size=1).train.truth.position
    return y[:, 0, :, 1:].numpy().astype(float)


def rotated(latents, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.einsum("ij,njk->nik", turn, latents - latents.mean(0))


def test_blocks_are_known_up_to_order_and_a_monotone_map():
    true = l_shaped()
    found = match_blocks(-np.exp(3 * true[:, ::-1]), true)
    assert found.score == pytest.approx(1)
    assert found.block_of_truth.tolist() == [1, 0]


def test_a_random_rotation_scores_high_without_being_right():
    true = l_shaped()
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    scores = [match_blocks(rotated(true, angle), true).score for angle in angles]
    assert 0.8 < np.mean(scores) < 0.97
    assert match_blocks(rotated(true, np.pi / 4), true).score < 0.8


def test_trees_say_whether_blocks_hold_the_same_coordinates():
    position = MovingBalls(
        blocks="independent", train_size=100_000, test_size=1
    ).train.truth.position
    true = position[:, 0].numpy().astype(float)
    assert match_blocks(true[:, ::-1], true, by="tree").score > 0.995
    regrouped = true.swapaxes(1, 2)  # columns of both balls, and heights of both
    assert 0.44 < match_blocks(regrouped, true, by="tree").score < 0.52


def test_missing_blocks_count_as_nothing_found():
    true = l_shaped(200)
    found = match_blocks(true[:, :1], true)
    assert found.score == pytest.approx(0.5)
    assert found.block_of_truth.tolist() == [0, -1]
    assert match_blocks(np.concatenate([0 * true, true], 1), true).score == pytest.approx(1)


def test_what_cannot_be_matched_is_refused():
    true = l_shaped(50)
    with pytest.raises(DataError, match="by='tree'"):
        match_blocks(np.zeros((50, 2, 2)), true)
    with pytest.raises(DataError, match="the same data"):
        match_blocks(true[:-1], true)
    with pytest.raises(DataError):
        match_blocks(true * np.nan, true)
    with pytest.raises(ConfigError, match="rank, tree"):
        match_blocks(true, true, by="eye")

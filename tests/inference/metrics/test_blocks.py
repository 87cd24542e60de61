"""Scores of blocks on codes of which it is known how good they are."""

import numpy as np
import pytest

from mutoscope.inference.metrics.blocks import group_latents, match_blocks
from mutoscope.zoo.datasets.balls import MovingBalls
from mutoscope.zoo.errors import ConfigError, DataError

PAIRINGS = [[(0, 1), (2, 3)], [(0, 2), (1, 3)], [(0, 3), (1, 2)]]


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


def published_l_shape(count=20_000):
    """Heights as the paper draws them, which is not uniformly on the L."""
    first, second = np.random.default_rng(0).uniform(0.1, 0.9, (2, count))
    second = np.where(first < 0.5, second, 0.1 + (second - 0.1) / 2)
    return np.stack([first, second], 1)[..., None]


def test_ranks_are_calibrated_on_the_published_l():
    true = published_l_shape()
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, 200)
    scores = [match_blocks(rotated(true[:2000], angle), true[:2000]).score for angle in angles]
    assert match_blocks(true, true).score == pytest.approx(1)
    assert match_blocks(rotated(true, np.pi / 4), true).score == pytest.approx(0.676, abs=0.015)
    assert np.mean(scores) == pytest.approx(0.902, abs=0.02)
    assert np.std(scores) == pytest.approx(0.094, abs=0.02)


def in_the_plane(blocks, count=60_000):
    balls = MovingBalls(blocks=blocks, train_size=count, test_size=1)
    return balls.train.truth.position[:, 0].numpy().astype(float)


@pytest.mark.parametrize(("blocks", "regrouped"), [("independent", 0.476), ("dependent", 0.878)])
def test_trees_say_whether_blocks_hold_the_same_coordinates(blocks, regrouped):
    true = in_the_plane(blocks)
    assert match_blocks(true[:, ::-1], true, by="tree").score > 0.995
    # columns of both balls, and heights of both
    score = match_blocks(true.swapaxes(1, 2), true, by="tree").score
    assert score == pytest.approx(regrouped, abs=0.02)


def test_a_random_mixture_scores_high_in_its_best_pairing_without_being_right():
    true = in_the_plane("dependent", 10_000)
    rng, scores = np.random.default_rng(0), []
    for _ in range(4):
        mixture = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        mixed = (true.reshape(len(true), 4) - 0.5) @ mixture
        pairings = [group_latents(mixed, each) for each in PAIRINGS]
        scores.append(max(match_blocks(each, true, by="tree").score for each in pairings))
    assert 0.85 < np.mean(scores) < 0.97


def test_latents_are_grouped_as_the_partition_says():
    latents = np.arange(12.0).reshape(3, 4)
    found = group_latents(latents, [(3, 0), (1, 2)])
    assert found.tolist()[1] == [[7.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize(
    ("partition", "said"),
    [
        ([(0, 1), (2,)], r"misses \[3\]"),
        ([(0, 1), (1, 2)], r"misses \[3\], repeats \[1\]"),
        ([(0, 1), (2, 3), (4, 5)], r"names \[4, 5\]"),
        ([(0, 1, 2, 3)], "two blocks or more"),
        ([(0, 1, 2), (3,)], "all of one size"),
    ],
)
def test_what_is_no_partition_is_refused(partition, said):
    with pytest.raises(ConfigError, match=said):
        group_latents(np.zeros((5, 4)), partition)


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

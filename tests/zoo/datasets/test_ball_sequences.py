"""Balls rise and fall at the speeds that the truth says, and pixels have the noise asked for."""

import pytest
import torch

from mutoscope.zoo.datasets import BallSequences
from mutoscope.zoo.errors import DataError


def test_heights_change_by_the_speed():
    truth = BallSequences(length=6, train_size=500, test_size=5).train.truth
    heights = truth.position[..., 1]
    steps = heights[:, 1:] - heights[:, :-1]
    torch.testing.assert_close(steps, truth.speed.unsqueeze(1).expand_as(steps), atol=1e-5, rtol=0)
    assert heights.min() >= 0
    assert heights.max() <= 1
    assert (truth.position[..., 0] == torch.tensor([0.25, 0.75])).all()


def test_speeds_are_independent_and_go_both_ways():
    speed = BallSequences(fastest=0.1, train_size=3000, test_size=5).train.truth.speed
    assert abs(float(torch.corrcoef(speed.T)[0, 1])) < 0.06
    assert speed.abs().max() <= 0.1
    assert float((speed > 0).float().mean()) == pytest.approx(0.5, abs=0.04)


def test_a_frame_is_grey_and_both_balls_and_noise():
    data = BallSequences(train_size=200, test_size=5, noise=0.03)
    rows = torch.arange(200)
    clean = 0.85 + data.train.parts(rows).sum(-4)
    images = data.train.batch(rows)["images"]
    inside = (clean > 0.2) & (clean < 0.8)
    assert float((images - clean)[inside].std()) == pytest.approx(0.03, rel=0.02)
    clipped = (images == 0) | (images == 1)
    assert float(clipped.float().mean()) < 1e-3
    quiet = BallSequences(train_size=200, test_size=5, noise=0.0).train.batch(rows)["images"]
    torch.testing.assert_close(quiet, clean.clamp(0, 1))


def test_a_seed_settles_the_sequences_and_splits_differ():
    first, again, other = (BallSequences(train_size=9, test_size=9, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.train.observations["images"], again.train.observations["images"])
    assert not torch.equal(first.train.truth.speed, other.train.truth.speed)
    assert not torch.equal(first.train.truth.speed, first.test.truth.speed)


@pytest.mark.parametrize(
    "options",
    [{"length": 1}, {"fastest": 0.3}, {"fastest": 0.0}, {"noise": 1.0}, {"size": 3}],
)
def test_other_sequences_are_refused(options):
    with pytest.raises(DataError, match="needed"):
        BallSequences(**options)

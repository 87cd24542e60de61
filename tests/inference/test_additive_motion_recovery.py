"""What additive decoders of sequences must show: half a minute of training for each seed.

Run with `pytest -m slow`. The default suite keeps the laws; these keep the claim.
"""

import functools

import numpy as np
import pytest
import torch

from mutoscope.guides import AdditiveMotionGuide
from mutoscope.inference import fit
from mutoscope.inference.diagnostics import interval_coverage
from mutoscope.inference.units import SpeedUnits
from mutoscope.zoo import AdditiveMotion
from mutoscope.zoo.datasets import BallSequences, FirstOf

pytestmark = pytest.mark.slow

LABELLED = 100


@functools.cache
def found(seed):
    """Return draws of the balls' speeds, in sides per frame, and the true ones."""
    data = BallSequences(seed=seed)
    torch.manual_seed(seed)
    model = AdditiveMotion(AdditiveMotion.Config(image_shape=data.image_shape))
    guide = AdditiveMotionGuide(model)
    options = {"max_steps": 1000, "batch_size": 32, "learning_rate": 1e-3, "log_every": 100}
    run = fit(model, guide, data, seed=seed, restarts=3, progress=False, **options)

    def drawn(split):
        groups = ("posterior", "constant_data")
        return run.posterior(split, seed=0, progress=False, groups=groups)

    units = SpeedUnits.learn(drawn(FirstOf(data.train, LABELLED)))
    idata = drawn(data.test)
    return units.convert(idata), idata["constant_data"]["speed"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_object_has_a_speed_of_its_own(seed):
    speeds, true = found(seed)
    mean = speeds.mean(("chain", "draw")).values
    for ball in range(2):
        assert np.corrcoef(mean[:, ball], true[:, ball])[0, 1] >= 0.9
        assert abs(np.corrcoef(mean[:, ball], true[:, 1 - ball])[0, 1]) <= 0.2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_of_speeds_hold_the_truth_as_often_as_they_say(seed):
    share = interval_coverage(*found(seed), levels=[0.9]).share.values
    assert (share >= 0.8).all()
    assert (share <= 0.97).all()

"""How many balls there are, where blocks are more than balls: a quarter minute for each seed.

Run with `pytest -m slow`. The default suite keeps the laws; these keep the claim.
"""

import pytest
import torch

from mutoscope.guides import AdditiveDecoderGuide
from mutoscope.inference import fit
from mutoscope.zoo import AdditiveDecoder
from mutoscope.zoo.datasets import MovingBalls

pytestmark = pytest.mark.slow


def share_with_the_right_number(seed):
    """Return on how many test pictures as many blocks are present as balls are, single runs."""
    data = MovingBalls("square", balls=(1, 2), radius=0.25, size=10, seed=seed)
    torch.manual_seed(seed)
    sizes = {"num_blocks": 4, "decoder_layers": 3, "decoder_hidden_dim": 64}
    config = AdditiveDecoder.Config(image_shape=data.image_shape, presence=0.2, ground=1.0, **sizes)
    model = AdditiveDecoder(config)
    guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(num_layers=3, hidden_dim=64))
    options = {"max_steps": 1000, "learning_rate": 3e-3, "log_every": 200}
    run = fit(model, guide, data, seed=seed, progress=False, **options)
    idata = run.posterior(data.test, draws=50, seed=0, progress=False, groups=("posterior",))
    probable = idata["posterior"]["presence"].mean(("chain", "draw")).values[:, 0] > 0.5
    balls = data.test.truth.presence[:, 0].sum(-1).numpy()
    return float((probable.sum(-1) == balls).mean())


@pytest.mark.parametrize("seed", range(5))
def test_as_many_blocks_are_present_as_there_are_balls(seed):
    assert share_with_the_right_number(seed) >= 0.95

"""What additive decoders must show on balls that move in the plane: two minutes for each seed.

Run with `pytest -m slow`, with `-s` to see the numbers. The score is the share of the variance of a
ball's place that a regression tree explains on unseen pictures: of places whose columns make one
block and whose heights make the other, it is 0.48 where balls are independent, and 0.88 where one
depends on the other.
"""

import functools
import statistics

import pytest
import torch

from mutoscope.guides import AdditiveDecoderGuide
from mutoscope.inference import fit
from mutoscope.inference.metrics import group_latents, match_blocks
from mutoscope.zoo import AdditiveDecoder
from mutoscope.zoo.datasets import MovingBalls

pytestmark = pytest.mark.slow

PAIRINGS = [[(0, 1), (2, 3)], [(0, 2), (1, 3)], [(0, 3), (1, 2)]]
SEEDS = range(1, 6)  # with 0 the networks were chosen


@functools.cache
def scores(blocks, decoder, seed):
    """Return the matching score of a single run's own blocks, and of all ways to pair latents."""
    data = MovingBalls(blocks=blocks, radius=0.35, train_size=10_000, test_size=10_000, seed=seed)
    torch.manual_seed(seed)
    sizes = {"block_dim": 2, "decoder_channels": 64, "decoder_layers": 3}
    config = AdditiveDecoder.Config(
        image_shape=data.image_shape, decoder=decoder, network="broadcast", prior="none", **sizes
    )
    model = AdditiveDecoder(config)
    guide = AdditiveDecoderGuide(
        model, AdditiveDecoderGuide.Config(posterior="point", network="places")
    )
    options = {"max_steps": 1200, "learning_rate": 2e-3, "log_every": 200}
    run = fit(model, guide, data, seed=seed, progress=False, **options)
    with torch.no_grad():
        latent = run.guide.latent_posterior(data.test.observations["images"]).mean[:, 0]
    true = data.test.truth.position[:, 0]
    found = [
        match_blocks(group_latents(latent.flatten(1), each), true, by="tree").score
        for each in PAIRINGS
    ]
    print(f"{blocks}, {decoder}, seed {seed}: {found}")
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("blocks", ["independent", "dependent"])
def test_balls_that_move_in_the_plane_are_told_apart_if_parts_are_added(blocks, seed):
    score, *_ = scores(blocks, "additive", seed)
    assert score > 0.99


@pytest.mark.parametrize("blocks", ["independent", "dependent"])
def test_one_network_mixes_them_however_its_latents_are_paired(blocks):
    """It may pair its latents as suits it best; a sum has its own blocks only."""
    added = [scores(blocks, "additive", seed)[0] for seed in SEEDS]
    mixed = [max(scores(blocks, "joint", seed)) for seed in SEEDS]
    assert max(mixed) < min(added)
    assert statistics.median(mixed) <= statistics.median(added) - 0.15

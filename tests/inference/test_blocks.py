"""What is read off blocks of latents adds up to what the model shows, and goes with the truth."""

import numpy as np
import pytest
import torch

from mutoscope.guides import AdditiveDecoderGuide, VariationalAutoencoderGuide
from mutoscope.inference.blocks import block_images, matching_of, traverse_blocks, true_blocks
from mutoscope.inference.conditioned import drawn_latents, observed_mean
from mutoscope.inference.labelled import to_arviz
from mutoscope.inference.metrics.particles import evaluation
from mutoscope.zoo import AdditiveDecoder, VariationalAutoencoder
from mutoscope.zoo.errors import ConfigError

SHAPE = (3, 4, 4)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    config = AdditiveDecoder.Config(
        image_shape=SHAPE, num_blocks=2, block_dim=2, decoder_hidden_dim=8, prior="none"
    )
    model = AdditiveDecoder(config)
    guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(posterior="point"))
    return model, guide


@pytest.fixture
def images():
    return torch.rand(6, 1, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_parts_and_background_add_up_to_the_mean_image(pair, images):
    model, guide = pair
    parts = block_images(model, guide, images)
    assert parts.shape == (6, 1, 2, *SHAPE)
    with torch.no_grad():
        mean = model.mean_image(guide.latent_posterior(images).mean)
    torch.testing.assert_close(model.background + parts.sum(2), mean)


def test_absent_blocks_add_nothing(images):
    torch.manual_seed(0)
    sizes = {"image_shape": SHAPE, "num_blocks": 3, "decoder_hidden_dim": 8, "image_scale": 4.0}
    for decoder in ("additive", "masked"):
        model = AdditiveDecoder(AdditiveDecoder.Config(presence=0.5, decoder=decoder, **sizes))
        guide = AdditiveDecoderGuide(model)
        parts = block_images(model, guide, images)
        drawn = predictive(model, guide, images)
        assert 0 < float(drawn["presence"].mean()) < 1
        assert torch.equal(parts.flatten(3).abs().amax(-1) > 0, drawn["presence"] > 0)
        mean = observed_mean(model, drawn, {"images": images}).detach()
        torch.testing.assert_close(model.background.detach() + parts.sum(2), mean)


def predictive(model, guide, images):
    """Return what the guide draws with the seed that `block_images` uses."""
    with evaluation(model, guide, seed=0):
        return drawn_latents(model, guide, {"images": images})


def test_a_traversal_moves_one_latent_and_leaves_all_else(pair, images):
    model, guide = pair
    found = traverse_blocks(model, guide, images, quantiles=(0.0, 0.5, 1.0))
    assert found.shape == (2, 2, 3, *SHAPE)
    with torch.no_grad():
        latent = guide.latent_posterior(images).mean[:, 0]
        for block, one in np.ndindex(2, 2):
            for at, place in ((0, latent.amin(0)), (2, latent.amax(0))):
                moved = latent[0].clone()
                moved[block, one] = place[block, one]
                torch.testing.assert_close(found[block, one, at], model.mean_image(moved))


def posterior_of(latent, position):
    axes = ("sequence", "frame", "block", "latent")
    truth = ("sequence", "frame", "ball", "coordinate")
    return to_arviz(
        {
            "posterior": {"z": (("chain", "draw", *axes), latent[None, None])},
            "constant_data": {"position": (truth, position)},
        },
        {},
    )


def test_coordinates_that_never_change_are_no_truth():
    rng = np.random.default_rng(0)
    position = rng.random((40, 1, 2, 2))
    position[..., 0] = (0.25, 0.75)
    idata = posterior_of(position[..., ::-1, 1:], position)
    np.testing.assert_allclose(true_blocks(idata), position[:, 0, :, 1:])
    found = matching_of(idata)
    assert found.score == pytest.approx(1.0)
    assert found.block_of_truth.tolist() == [1, 0]


def test_models_without_blocks_are_named(images):
    model = VariationalAutoencoder(VariationalAutoencoder.Config(image_shape=SHAPE, length=1))
    guide = VariationalAutoencoderGuide(model)
    with pytest.raises(ConfigError, match="of VariationalAutoencoder, but one whose last axes"):
        traverse_blocks(model, guide, images)
    with pytest.raises(ConfigError, match="VariationalAutoencoder has no `parts`"):
        block_images(model, guide, images)


def test_quantiles_outside_of_zero_to_one_are_refused(pair, images):
    with pytest.raises(ConfigError, match="some from 0 to 1"):
        traverse_blocks(*pair, images, quantiles=(0.5, 1.5))

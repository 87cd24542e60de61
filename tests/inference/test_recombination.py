"""Recombined images are those that the model makes of blocks from several data."""

import pytest
import torch

from mutoscope.guides import AdditiveDecoderGuide, VariationalAutoencoderGuide
from mutoscope.inference.recombination import recombine
from mutoscope.zoo import AdditiveDecoder, VariationalAutoencoder
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE = (1, 4, 4)


def pair(posterior="normal", blocks=3):
    torch.manual_seed(0)
    config = AdditiveDecoder.Config(
        image_shape=SHAPE, num_blocks=blocks, block_dim=2, decoder_hidden_dim=6, decoder_layers=1
    )
    model = AdditiveDecoder(config)
    options = AdditiveDecoderGuide.Config(posterior=posterior, hidden_dim=6, num_layers=1)
    return model, AdditiveDecoderGuide(model, options)


def images(count=4):
    return {"images": torch.rand(count, 2, *SHAPE)}


@pytest.mark.parametrize("posterior", ["normal", "point"])
def test_each_block_comes_from_its_donor(posterior):
    model, guide = pair(posterior)
    donors = [images() for _ in range(3)]
    means = [guide.latent_posterior(donor["images"]).mean for donor in donors]
    latent = torch.stack([each[:, :, k] for k, each in enumerate(means)], 2)
    with torch.no_grad():
        torch.testing.assert_close(recombine(model, guide, donors), model.mean_image(latent))


def test_one_donor_for_all_blocks_gives_its_reconstruction():
    model, guide = pair()
    same = images()
    with torch.no_grad():
        expected = model.mean_image(guide.latent_posterior(same["images"]).mean)
    torch.testing.assert_close(recombine(model, guide, [same] * 3), expected)


def test_what_cannot_be_recombined_is_refused():
    model, guide = pair()
    with pytest.raises(ConfigError, match="Found 2 donors, but 3 blocks"):
        recombine(model, guide, [images()] * 2)
    with pytest.raises(ConfigError, match="Found 0 donors"):
        recombine(model, guide, [])
    with pytest.raises(DataError, match=r"data\. Give as many in each"):
        recombine(model, guide, [images(), images(), images(5)])
    with pytest.raises(DataError, match="NaN"):
        recombine(model, guide, [{"images": torch.full((2, 1, *SHAPE), torch.nan)}] * 3)
    other = VariationalAutoencoder(VariationalAutoencoder.Config(image_shape=SHAPE))
    with pytest.raises(ConfigError, match="no latent 'z' with an axis 'block'"):
        recombine(other, VariationalAutoencoderGuide(other), [images()])


def test_recombinations_that_leave_the_bounds_are_counted_and_refused():
    model, guide = pair()
    with torch.no_grad():
        model.background.fill_(0.5)
        model.background[0, 0, :3] = 1.2
        model.background[0, 1, 0] = -0.3
        for parameter in model.decoder.parameters():
            parameter.zero_()
    same = [images()] * 3
    with pytest.raises(DataError, match=r"Of 128 recombined values, 24 are above 1 and 8 below 0"):
        recombine(model, guide, same, bounds=(0, 1))
    assert recombine(model, guide, same).max() > 1
    assert recombine(model, guide, same, bounds=(-1, 2)).max() > 1

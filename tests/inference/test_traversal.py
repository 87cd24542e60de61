import pytest
import torch

from mutoscope.guides import SparseTransformationGuide, VariationalAutoencoderGuide
from mutoscope.inference.traversal import traverse
from mutoscope.zoo import SparseTransformation, VariationalAutoencoder
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE, SPEEDS = (1, 6, 6), (-1.0, 0.0, 2.0)


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    config = SparseTransformation.Config(image_shape=SHAPE, num_fields=2, latent_dim=3)
    model = SparseTransformation(config)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(5)
    return model, SparseTransformationGuide(model)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 4, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_every_field_moves_by_itself_at_every_speed(pair, images):
    model, _ = pair
    frames = traverse(*pair, images, speeds=SPEEDS)
    assert frames.shape == (2, 2, 3, 4, *SHAPE)
    rest = frames[:, 0, 1]
    torch.testing.assert_close(rest, frames[:, 1, 1])
    torch.testing.assert_close(rest, rest[:, :1].expand_as(rest))
    for field in range(2):
        for index in (0, 2):
            torch.testing.assert_close(frames[:, field, index, 0], rest[:, 0])
            assert (frames[:, field, index, -1] - rest[:, -1]).abs().max() > 1e-3
    assert (frames[:, 0, 2] - frames[:, 1, 2]).abs().max() > 1e-3
    assert model.training


def test_twice_the_speed_is_as_far_in_half_the_time(pair, images):
    frames = traverse(*pair, images, speeds=(0.5, 1.0))
    torch.testing.assert_close(frames[:, :, 0, 2], frames[:, :, 1, 1], atol=1e-3, rtol=0)


def test_the_same_seed_gives_the_same_frames(pair, images):
    one, same, other = (traverse(*pair, images, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_has_no_speeds_is_refused(pair, images):
    config = VariationalAutoencoder.Config(image_shape=SHAPE, latent_dim=2)
    model = VariationalAutoencoder(config)
    with pytest.raises(ConfigError, match="'speed' with three axes"):
        traverse(model, VariationalAutoencoderGuide(model), images)
    with pytest.raises(ConfigError, match="one speed or more"):
        traverse(*pair, images, speeds=())
    with pytest.raises(ConfigError, match="'z0' with three axes"):
        traverse(*pair, images, variable="z0")
    with pytest.raises(DataError):
        traverse(*pair, images * torch.nan)

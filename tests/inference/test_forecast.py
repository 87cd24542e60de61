"""Forecasts: motion goes on as it was last seen, and the future is not looked at."""

import pytest
import torch

from mutoscope.guides import Entry
from mutoscope.inference.forecast import forecast
from mutoscope.zoo.errors import ConfigError


@pytest.fixture
def pair():
    torch.manual_seed(0)
    entry = Entry.named("sta")
    model = entry.model(entry.model.Config(image_shape=(1, 5, 5), length=6))
    return model, entry.guide(model)


def test_frames_after_those_seen_do_not_matter(pair):
    images = torch.rand(2, 6, 1, 5, 5)
    changed = images.clone()
    changed[:, 3:] = torch.rand(2, 3, 1, 5, 5)
    expected = forecast(*pair, images, seen=3, seed=1)
    assert torch.equal(forecast(*pair, changed, seen=3, seed=1), expected)


def test_with_every_frame_seen_it_is_the_reconstruction(pair):
    images = torch.rand(2, 4, 1, 5, 5)
    whole = forecast(*pair, images, seen=4, seed=1)
    part = forecast(*pair, images, seen=4, seed=2)
    assert whole.shape == images.shape
    assert not torch.equal(whole, part)


@pytest.mark.parametrize("seen", [1, 7])
def test_too_few_or_too_many_frames_are_refused(pair, seen):
    with pytest.raises(ConfigError, match="2 to 6"):
        forecast(*pair, torch.rand(2, 6, 1, 5, 5), seen=seen)


def test_a_model_without_time_is_refused():
    entry = Entry.named("vae")
    model = entry.model(entry.model.Config(image_shape=(1, 5, 5), length=4))
    with pytest.raises(ConfigError, match="`time` axis"):
        forecast(model, entry.guide(model), torch.rand(2, 4, 1, 5, 5), seen=3)

"""Walking through a group from one image, and reading what acted off a posterior."""

import pytest
import torch

from mutoscope.guides import DistributedOperatorGuide, VariationalAutoencoderGuide
from mutoscope.inference import Run
from mutoscope.inference.elements import accuracy_of
from mutoscope.inference.orbit import walk_orbit
from mutoscope.zoo import DistributedOperator, VariationalAutoencoder
from mutoscope.zoo.datasets import OrbitSequences, polygons
from mutoscope.zoo.errors import ConfigError


@pytest.fixture
def data():
    return OrbitSequences(polygons(6, 14), (7,), ("translation_x",))


@pytest.fixture
def run(data):
    torch.manual_seed(0)
    config = DistributedOperator.Config(latent_dim=14, **data.model_options)
    model = DistributedOperator(config)
    return Run(model, DistributedOperatorGuide(model), [], {})


def test_each_element_acts_on_the_code_of_the_first_frame(run, data):
    torch.nn.init.constant_(run.guide.log_scale, -60.0)  # codes are points
    images = data.test.batch([0, 1])["images"]
    walked = walk_orbit(run.model, run.guide, images)
    code = run.guide.codes(images)[:, :1]
    expected = run.model.decoder(run.model.operator(code, torch.arange(7)))
    assert walked.shape == (2, 7, 1, 14, 14)
    torch.testing.assert_close(walked, expected.detach())


def test_models_in_which_nothing_acts_have_no_orbit():
    model = VariationalAutoencoder(VariationalAutoencoder.Config(image_shape=(1, 6, 6)))
    with pytest.raises(ConfigError, match="two or three axes"):
        walk_orbit(model, VariationalAutoencoderGuide(model), torch.rand(2, 2, 1, 6, 6))


def test_accuracy_needs_a_group_and_the_truth(run, data):
    idata = run.posterior(data.test, draws=5, progress=False)
    found = accuracy_of(run, idata)
    assert 0 <= found.accuracy <= 1
    assert found.confusion.shape == (7, 7)
    untold = run.posterior({"images": data.test.batch([0, 1])["images"]}, draws=5, progress=False)
    assert accuracy_of(run, untold) is None

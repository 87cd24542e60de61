"""Flows over scales find the bits of images that are known; trains for a minute."""

import math

import pytest
import torch

from mutoscope.guides import EntropyOrderedFlowGuide
from mutoscope.inference import fit
from mutoscope.inference.metrics import bits_per_dimension
from mutoscope.zoo import EntropyOrderedFlow

pytestmark = pytest.mark.slow

SIDE = 8


def covariance():
    """Return that of a smooth field with a little noise, in units of grey."""
    places = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    smooth = (-torch.cdist(places, places).square() / (2 * 2.0**2)).exp()
    return 0.08**2 * smooth + 0.02**2 * torch.eye(SIDE**2, dtype=torch.float64)


def images(count, seed):
    """Return images of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, SIDE**2, generator=generator, dtype=torch.float64)
    grey = 0.5 + noise @ torch.linalg.cholesky(covariance()).T
    return ((grey * 255).round() / 255).clamp(0, 1).float().reshape(-1, 1, SIDE, SIDE)


def entropy_in_bits():
    """Return bits per dimension, of which rounding to steps much below the noise takes nothing."""
    dim = SIDE**2
    nats = dim * math.log(2 * math.pi * math.e) / 2 + float(torch.logdet(covariance())) / 2
    return nats / (dim * math.log(2)) + math.log2(255)


def test_bits_of_a_random_field():
    torch.manual_seed(0)
    sizes = {"levels": 2, "steps": 2, "filters": 16, "couplings": 2, "hidden_dim": 32}
    config = EntropyOrderedFlow.Config(
        image_shape=(1, SIDE, SIDE),
        bits=8,
        total_correlation=0.0,
        **sizes,
    )
    model = EntropyOrderedFlow(config)
    train, test = images(20_000, 0), images(4000, 1)
    model.initialise(train[:256])
    guide = EntropyOrderedFlowGuide(model)
    fit(model, guide, {"x": train}, max_steps=1200, learning_rate=3e-3, progress=False)
    with torch.no_grad():
        nats = model.log_prob(model.noisy(test))
    found = bits_per_dimension(nats, SIDE**2, step=config.step)
    assert -0.01 < found - entropy_in_bits() < 0.05

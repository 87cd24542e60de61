"""Flows over scales, and the transform between these."""

import math

import pytest
import torch

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.flows import AffineCoupling, FlowTransform, Haar, Pyramid, Rotation

from .kinds import stirred


def pyramid(shape, levels):
    dim = Pyramid.coarse_dim(shape, levels)
    layers = [Rotation(dim), AffineCoupling(dim, [8])]
    return FlowTransform([Pyramid(shape, levels, layers, steps=1, filters=8)]).double()


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_haar_keeps_lengths_and_is_inverted():
    image = images(3, 6, 4, 2)
    haar = Haar().double()
    found, _ = haar.inverse(image)
    assert found.shape == (3, 3, 2, 8)
    torch.testing.assert_close(found.flatten(1).norm(dim=1), image.flatten(1).norm(dim=1))
    torch.testing.assert_close(haar(found)[0], image)


def test_haar_of_a_known_block():
    block = torch.tensor([[1.0, 2.0], [3.0, 5.0]]).reshape(1, 2, 2, 1)
    sums, between_columns, between_rows, across = Haar().inverse(block)[0].flatten().tolist()
    assert (sums, between_columns, between_rows, across) == (5.5, -1.5, -2.5, 0.5)


def test_it_begins_as_a_transform_to_wavelets():
    flow = pyramid((3, 8, 8), 2)
    data = images(5, 192)
    latent, log_det = flow.encode(data)
    torch.testing.assert_close(latent.norm(dim=1), data.norm(dim=1))
    torch.testing.assert_close(log_det, torch.zeros(5).double())
    flat = torch.arange(1.0, 4.0).double().repeat_interleave(64).expand(1, -1)
    latent, _ = flow.encode(flat)
    torch.testing.assert_close(latent[0, 12:], torch.zeros(180).double())
    colours = latent[0, :12].reshape(2, 2, 3)  # channels last
    torch.testing.assert_close(colours, 4 * torch.arange(1.0, 4.0).double().expand(2, 2, 3))


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 2), ((3, 4, 8), 1), ((2, 8, 4), 2)])
def test_log_determinants_are_exact_on_several_scales(shape, levels):
    flow = stirred(pyramid(shape, levels), 0.2)
    latent = images(2, math.prod(shape))
    data, log_det = flow.decode(latent)
    torch.testing.assert_close(flow.encode(data)[0], latent, rtol=0, atol=1e-10)
    for one, expected in zip(latent, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda z: flow.decode(z)[0], one)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], expected, rtol=0, atol=1e-8)


def test_coarse_latents_reach_far_and_details_their_own_place():
    flow = stirred(pyramid((1, 16, 16), 2), 0.2)
    latent = torch.zeros(1, 256).double()

    def moved(index):
        shifted = latent.clone()
        shifted[0, index] += 1e-3
        difference = (flow.decode(shifted)[0] - flow.decode(latent)[0]).abs()
        return int((difference > 1e-12).sum())

    assert moved(0) > moved(255) > 0


@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 28, 28), 3), ((3, 7, 8), 1), ((4,), 1), ((1, 8, 8), 0)]
)
def test_images_that_cannot_be_halved(shape, levels):
    with pytest.raises(ConfigError, match=rf"cannot be halved {levels} times"):
        Pyramid(shape, levels, [])

"""Networks of blocks are what a network for each block would be."""

import pytest
import torch
from torch.nn.functional import linear, silu

from mutoscope.zoo.nets.blocks import (
    BlockBroadcastDecoder,
    BlockConvolutionalDecoder,
    BlockDecoder,
    BlockLinear,
)

BLOCKS, LATENT, SHAPE = 3, 2, (1, 2, 4)


def test_a_layer_is_a_linear_layer_for_each_block():
    layer, rows = BlockLinear(BLOCKS, 5, 4), torch.randn(BLOCKS, 7, 5)
    for block, found in enumerate(layer(rows)):
        expected = linear(rows[block], layer.weight[block].T, layer.bias[block, 0])
        torch.testing.assert_close(found, expected)


def test_images_of_blocks_are_those_of_a_loop():
    decoder = BlockDecoder(BLOCKS, LATENT, SHAPE, 6, 2)
    latent = torch.randn(4, 5, BLOCKS, LATENT)
    found = decoder(latent)
    assert found.shape == (4, 5, BLOCKS, *SHAPE)
    for block in range(BLOCKS):
        rows = latent[..., block, :]
        for layer in decoder.hidden:
            rows = silu(linear(rows, layer.weight[block].T, layer.bias[block, 0]))
        expected = linear(rows, decoder.pixels.weight[block].T).unflatten(-1, SHAPE)
        torch.testing.assert_close(found[..., block, :, :, :], expected)


def single(decoder, make, block):
    """Return a network of one block with the weights of one of several."""
    alone = make(1)
    for name, parameter in alone.named_parameters():
        whole = decoder.get_parameter(name).detach()
        share = len(whole) // BLOCKS
        parameter.data = whole[block * share : (block + 1) * share].clone()
    return alone


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 5, 9), (2, 4, 4)])
@pytest.mark.parametrize(
    "make",
    [
        lambda shape: lambda blocks: BlockDecoder(blocks, LATENT, shape, 6, 2),
        lambda shape: lambda blocks: BlockConvolutionalDecoder(blocks, LATENT, shape, 6, 4),
        lambda shape: lambda blocks: BlockBroadcastDecoder(blocks, LATENT, shape, 6, 2),
    ],
)
def test_each_block_is_decoded_as_if_it_were_alone(make, shape):
    torch.manual_seed(0)
    decoder, latent = make(shape)(BLOCKS), torch.randn(4, 2, BLOCKS, LATENT)
    found = decoder(latent)
    assert found.shape == (4, 2, BLOCKS, *shape)
    assert float(found.detach().std()) > 0
    for block in range(BLOCKS):
        expected = single(decoder, make(shape), block)(latent[:, :, block : block + 1])
        torch.testing.assert_close(found[:, :, block : block + 1], expected)

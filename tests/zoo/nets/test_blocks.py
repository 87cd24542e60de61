"""Networks of blocks are what a network for each block would be."""

import torch
from torch.nn.functional import linear, silu

from mutoscope.zoo.nets.blocks import BlockDecoder, BlockLinear

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

"""Networks of equal shape for every block of a latent, evaluated as one."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from .places import places_of

__all__ = ["BlockBroadcastDecoder", "BlockConvolutionalDecoder", "BlockDecoder", "BlockLinear"]

_SMALLEST = 4  # longest side of the first map of features


class BlockLinear(nn.Module):
    """A linear layer for each block, all in one product of matrices.

    Args:
        num_blocks: Number of blocks.
        in_dim: Length of what each block reads.
        out_dim: Length of what each block gives.
        bias: Whether to add a constant.
    """

    def __init__(self, num_blocks: int, in_dim: int, out_dim: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = in_dim**-0.5  # as `nn.Linear` begins
        self.weight = nn.Parameter(torch.empty(num_blocks, in_dim, out_dim).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(num_blocks, 1, out_dim).uniform_(-bound, bound))
            if bias
            else None
        )

    def forward(self, inputs: Float[Tensor, "block row in"]) -> Float[Tensor, "block row out"]:
        """Return what every block makes of its rows."""
        if self.bias is None:
            return torch.bmm(inputs, self.weight)
        return torch.baddbmm(self.bias, inputs, self.weight)


class BlockDecoder(nn.Module):
    """The latents of each block to an image of its own: perceptrons of equal shape, none shared.

    The last layer adds no constant, since only the sum of those of all blocks would count.

    Args:
        num_blocks: Number of blocks.
        block_dim: Dimension of the latents of one block.
        image_shape: Channels, height and width.
        hidden_dim: Width of each hidden layer.
        num_layers: Number of hidden layers.
    """

    def __init__(
        self,
        num_blocks: int,
        block_dim: int,
        image_shape: tuple[int, int, int],
        hidden_dim: int,
        num_layers: int,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        sizes = [block_dim, *[hidden_dim] * num_layers]
        self.hidden = nn.ModuleList(
            BlockLinear(num_blocks, *pair) for pair in itertools.pairwise(sizes)
        )
        pixels = math.prod(image_shape)
        self.pixels = BlockLinear(num_blocks, hidden_dim, pixels, bias=False)

    def forward(
        self, latent: Float[Tensor, "*batch block latent"]
    ) -> Float[Tensor, "*batch block channel height width"]:
        """Return one image for each block."""
        rows: Tensor = latent.reshape(-1, *latent.shape[-2:]).transpose(0, 1)
        for layer in self.hidden:
            rows = silu(layer(rows))
        parts: Tensor = self.pixels(rows).transpose(0, 1)
        return parts.reshape(*latent.shape[:-1], *self.image_shape)


class BlockConvolutionalDecoder(nn.Module):
    """The latents of each block to an image of its own, by transposed convolutions.

    Two hidden layers lead to a small map of features, which is doubled until it is as large as the
    image. Blocks are the groups of grouped convolutions, so that all are one network and none is
    shared. The last layer adds no constant, as in `BlockDecoder`.

    Args:
        num_blocks: Number of blocks.
        block_dim: Dimension of the latents of one block.
        image_shape: Channels, height and width.
        hidden_dim: Width of the hidden layers.
        channels: Number of features of each pixel, for each block.
    """

    def __init__(
        self,
        num_blocks: int,
        block_dim: int,
        image_shape: tuple[int, int, int],
        hidden_dim: int,
        channels: int,
    ) -> None:
        super().__init__()
        self.num_blocks, self.image_shape = num_blocks, image_shape
        doublings = max(1, math.ceil(math.log2(max(image_shape[1:]) / _SMALLEST)))
        start = [-(-side // 2**doublings) for side in image_shape[1:]]
        self.start = (channels, *start)
        sizes = [block_dim, hidden_dim, hidden_dim, math.prod(self.start)]
        self.hidden = nn.ModuleList(
            BlockLinear(num_blocks, *pair) for pair in itertools.pairwise(sizes)
        )
        widths = [channels] * doublings + [image_shape[0]]
        self.doubling = nn.ModuleList(
            nn.ConvTranspose2d(
                num_blocks * width,
                num_blocks * following,
                kernel_size=4,
                stride=2,
                padding=1,
                groups=num_blocks,
                bias=index < doublings - 1,
            )
            for index, (width, following) in enumerate(itertools.pairwise(widths))
        )

    def forward(
        self, latent: Float[Tensor, "*batch block latent"]
    ) -> Float[Tensor, "*batch block channel height width"]:
        """Return one image for each block."""
        rows: Tensor = latent.reshape(-1, *latent.shape[-2:]).transpose(0, 1)
        for layer in self.hidden:
            rows = silu(layer(rows))
        maps: Tensor = rows.transpose(0, 1).reshape(
            -1, self.num_blocks * self.start[0], *self.start[1:]
        )
        for index, layer in enumerate(self.doubling):
            maps = layer(silu(maps) if index else maps)
        _, height, width = self.image_shape
        return maps[..., :height, :width].reshape(*latent.shape[:-1], *self.image_shape)


class BlockBroadcastDecoder(nn.Module):
    """The latents of each block to an image of its own: convolutions of 1 x 1 over a map of places.

    Each pixel is made of the latents and of its own row and column, so that what moves need not be
    learned anew at each place. After Watters, Matthey, Burgess, Lerchner, "Spatial broadcast
    decoder", 2019, arXiv:1901.07017, where convolutions are larger. Blocks are the groups of
    grouped convolutions. The last layer adds no constant, as in `BlockDecoder`.

    Args:
        num_blocks: Number of blocks.
        block_dim: Dimension of the latents of one block.
        image_shape: Channels, height and width.
        channels: Number of features of each pixel, for each block.
        num_layers: Number of hidden layers.
    """

    places: Tensor

    def __init__(
        self,
        num_blocks: int,
        block_dim: int,
        image_shape: tuple[int, int, int],
        channels: int,
        num_layers: int,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.latent = BlockLinear(num_blocks, block_dim, channels)
        self.place = BlockLinear(num_blocks, 2, channels, bias=False)
        self.hidden = nn.ModuleList(
            BlockLinear(num_blocks, channels, channels) for _ in range(num_layers - 1)
        )
        self.pixel = BlockLinear(num_blocks, channels, image_shape[0], bias=False)
        self.register_buffer("places", places_of(*image_shape[1:]))

    def forward(
        self, latent: Float[Tensor, "*batch block latent"]
    ) -> Float[Tensor, "*batch block channel height width"]:
        """Return one image for each block."""
        rows: Tensor = latent.reshape(-1, *latent.shape[-2:]).transpose(0, 1)
        places: Tensor = self.place(self.places.expand(len(rows), -1, -1))
        features = silu(self.latent(rows).unsqueeze(2) + places.unsqueeze(1)).flatten(1, 2)
        for layer in self.hidden:
            features = silu(layer(features))
        pixels: Tensor = self.pixel(features).unflatten(1, (-1, len(self.places)))
        parts = pixels.permute(1, 0, 3, 2)
        return parts.reshape(*latent.shape[:-1], *self.image_shape)

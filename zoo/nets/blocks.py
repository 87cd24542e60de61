"""Networks of equal shape for every block of a latent, evaluated as one."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

__all__ = ["BlockDecoder", "BlockLinear"]


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

"""Networks between features and what a point is made of, a vector or an image."""

import itertools
import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import BlockConvolutionalDecoder
from .mlp import mlp

__all__ = ["Network", "PointDecoder", "PointEncoder"]

Network = Literal["perceptron", "convolutional"]

_CHANNELS = 32
_SMALLEST = 4  # longest side of the last map of features


class PointEncoder(nn.Module):
    """Points to numbers.

    Args:
        input_shape: Of a point: (features,), or channels, height and width.
        out_dim: How many numbers.
        network: "perceptron"; or "convolutional", of images.
        hidden_dim: Width of the hidden layers.
        num_layers: Number of these.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        out_dim: int,
        network: Network,
        hidden_dim: int,
        num_layers: int,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        hidden = [hidden_dim] * num_layers
        if network == "perceptron":
            self.net = nn.Sequential(nn.Flatten(), mlp([math.prod(input_shape), *hidden, out_dim]))
            return
        halvings = max(1, math.ceil(math.log2(max(input_shape[1:]) / _SMALLEST)))
        sides = [-(-side // 2**halvings) for side in input_shape[1:]]
        layers: list[nn.Module] = []
        for pair in itertools.pairwise([input_shape[0], *[_CHANNELS] * halvings]):
            layers += [nn.Conv2d(*pair, kernel_size=3, stride=2, padding=1), nn.SiLU()]
        flat = _CHANNELS * math.prod(sides)
        self.net = nn.Sequential(*layers, nn.Flatten(), mlp([flat, *hidden, out_dim]))

    def forward(self, inputs: Float[Tensor, "..."]) -> Float[Tensor, "*batch number"]:
        """Return the numbers of each point."""
        axes = len(self.input_shape)
        numbers: Tensor = self.net(inputs.flatten(0, -1 - axes))
        return numbers.unflatten(0, inputs.shape[:-axes])


class PointDecoder(nn.Module):
    """Features to the mean of a point.

    Args:
        num_features: How many there are.
        input_shape: Of a point: (features,), or channels, height and width.
        network: "perceptron"; or "convolutional", of images.
        hidden_dim: Width of the hidden layers.
        num_layers: Number of these, of a perceptron.
    """

    def __init__(
        self,
        num_features: int,
        input_shape: tuple[int, ...],
        network: Network,
        hidden_dim: int,
        num_layers: int,
    ) -> None:
        super().__init__()
        self.input_shape, self.convolutional = input_shape, network == "convolutional"
        if network == "convolutional":
            channels, height, width = input_shape
            shape = channels, height, width
            self.net: nn.Module = BlockConvolutionalDecoder(
                1, num_features, shape, hidden_dim, _CHANNELS
            )
            self.background = nn.Parameter(torch.full(input_shape, 0.5))
        else:
            hidden = [hidden_dim] * num_layers
            self.net = mlp([num_features, *hidden, math.prod(input_shape)])

    def forward(self, features: Float[Tensor, "*batch feature"]) -> Float[Tensor, "..."]:
        """Return the mean of each point."""
        if self.convolutional:
            image: Tensor = self.net(features.unsqueeze(-2)).squeeze(-4)
            return self.background + image
        numbers: Tensor = self.net(features)
        return numbers.unflatten(-1, self.input_shape)

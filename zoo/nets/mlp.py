"""Multilayer perceptrons, and the decoder and encoder of images that are built from them."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ImageDecoder", "ImageEncoder", "LinearDecoder", "mlp"]


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    """Return linear layers of the given sizes with activations between them."""
    layers: list[nn.Module] = []
    for width_in, width_out in itertools.pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), activation()]
    return nn.Sequential(*layers[:-1])


class ImageDecoder(nn.Module):
    """A latent vector to the log-odds or means of the pixels of an image.

    Args:
        latent_dim: Dimension D of the latent space.
        image_shape: Channels, height and width.
        hidden_dim: Width of the two hidden layers.
    """

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int], hidden_dim: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.net = mlp([latent_dim, hidden_dim, hidden_dim, math.prod(image_shape)])

    def forward(
        self, latent: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch channel height width"]:
        """Return one number for each pixel."""
        pixels: Tensor = self.net(latent)
        return pixels.unflatten(-1, self.image_shape)


class LinearDecoder(nn.Module):
    """A latent vector to pixels, each a weighted sum.

    Args:
        latent_dim: Dimension D of the latent space.
        image_shape: Channels, height and width.
    """

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.linear = nn.Linear(latent_dim, math.prod(image_shape))

    def forward(
        self, latent: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch channel height width"]:
        """Return one number for each pixel."""
        pixels: Tensor = self.linear(latent)
        return pixels.unflatten(-1, self.image_shape)


class ImageEncoder(nn.Module):
    """An image to a feature vector.

    Args:
        image_shape: Channels, height and width.
        hidden_dim: Width of the hidden layer.
        feature_dim: Length of the feature vector.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], hidden_dim: int, feature_dim: int
    ) -> None:
        super().__init__()
        self.net = mlp([math.prod(image_shape), hidden_dim, feature_dim])

    def forward(
        self, images: Float[Tensor, "*batch channel height width"]
    ) -> Float[Tensor, "*batch feature"]:
        """Return the features of each image."""
        features: Tensor = self.net(images.flatten(-3))
        return torch.nn.functional.silu(features)

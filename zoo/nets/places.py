"""Where things are in an image: coordinates of pixels, and an encoder that reads places off."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .mlp import mlp

__all__ = ["PlaceEncoder", "places_of"]


def places_of(height: int, width: int) -> Float[Tensor, "pixel 2"]:
    """Return row and column of each pixel, from -1 to 1."""
    axes = [torch.linspace(-1, 1, side) for side in (height, width)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)


class PlaceEncoder(nn.Module):
    """An image to numbers, by way of the mean place of each of some features.

    Convolutions make maps, a softmax over the pixels makes weights of each map, and a perceptron
    reads the mean places under these weights. After Finn et al., "Deep spatial autoencoders for
    visuomotor learning", 2016, arXiv:1509.06113.

    Args:
        image_shape: Channels, height and width.
        hidden_dim: Width of the two hidden layers that read places.
        out_dim: Number of numbers.
        channels: Number of features of the convolutions.
        maps: Number of places.
    """

    places: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        hidden_dim: int,
        out_dim: int,
        *,
        channels: int = 32,
        maps: int = 16,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(image_shape[0], channels, 5, padding=2),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, maps, 3, padding=1),
        )
        self.net = mlp([2 * maps, hidden_dim, hidden_dim, out_dim])
        self.register_buffer("places", places_of(*image_shape[1:]))

    def forward(
        self, images: Float[Tensor, "*batch channel height width"]
    ) -> Float[Tensor, "*batch out"]:
        """Return the numbers of each image."""
        maps: Tensor = self.features(images.flatten(0, -4)).flatten(-2).softmax(-1)
        found: Tensor = self.net((maps @ self.places).flatten(-2))
        return found.reshape(*images.shape[:-3], -1)

"""Convolutional networks."""

import itertools
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["PixelNet"]


class PixelNet(nn.Sequential):
    """Convolutions between images of one size, channels last; those in between see single pixels.

    Args:
        sizes: Numbers of channels, of the input first.
        kernel: Width in pixels of the first and the last convolution, odd.
    """

    def __init__(self, sizes: Sequence[int], kernel: int) -> None:
        last = len(sizes) - 2
        layers: list[nn.Module] = []
        for i, (width_in, width_out) in enumerate(itertools.pairwise(sizes)):
            width = kernel if i in (0, last) else 1
            layers += [nn.Conv2d(width_in, width_out, width, padding=width // 2), nn.ReLU()]
        super().__init__(*layers[:-1])

    def forward(
        self, image: Float[Tensor, "datum height width channel"]
    ) -> Float[Tensor, "datum height width feature"]:
        """Return one vector for each pixel."""
        found: Tensor = super().forward(image.movedim(-1, -3))
        return found.movedim(-3, -1)

"""The Haar transform of images: means of two by two pixels, and what they leave over.

Haar, "Zur Theorie der orthogonalen Funktionensysteme", 1910.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Haar"]


class Haar(nn.Module):
    """From coefficients to an image of twice the height and width, an orthogonal map.

    Of two by two pixels each channel has half their sum and halves of three differences: between
    columns, between rows and across. Channels are last, all sums before all differences.
    """

    def __init__(self) -> None:
        super().__init__()
        pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        self.register_buffer("matrix", torch.kron(pair, pair) / 2)

    matrix: Tensor  # symmetric, and its own inverse

    def forward(
        self, latent: Float[Tensor, "datum row column coefficient"]
    ) -> tuple[Float[Tensor, "datum height width channel"], Float[Tensor, ""]]:
        """Return the image, and zero."""
        kinds = latent.unflatten(-1, (4, -1))
        pixels = (self.matrix @ kinds).unflatten(-2, (2, 2))
        return pixels.transpose(2, 3).flatten(1, 2).flatten(2, 3), latent.new_zeros(())

    def inverse(
        self, data: Float[Tensor, "datum height width channel"]
    ) -> tuple[Float[Tensor, "datum row column coefficient"], Float[Tensor, ""]]:
        """Return the coefficients, and zero."""
        pixels = data.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)
        return (self.matrix @ pixels.flatten(3, 4)).flatten(3), data.new_zeros(())

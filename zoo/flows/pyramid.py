"""Flows of images over scales, from a coarse image to its details."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import ConfigError
from .act_norm import ActNorm
from .coupling import AffineCoupling
from .haar import Haar
from .linear import Permutation, Rotation

__all__ = ["Pyramid"]


class Pyramid(nn.Module):
    """Images as a coarse image that is doubled in size, with new details each time.

    A multiscale flow after Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017,
    arXiv:1605.08803, and Kingma and Dhariwal, "Glow", 2018, arXiv:1807.03039, with two changes.
    Between scales it takes Haar's transform, which keeps lengths and angles, so that the flow
    begins as a transform to wavelets, with latents at right angles; and channels are mixed by
    rotations. The first coupling after the latents of details predicts these from what is coarser.

    Latents are one vector: those of the coarsest image, then details, coarse ones first.

    Args:
        image_shape: Channels, height and width; both divisible by 2 to the power of `levels`.
        levels: How often an image is doubled in size.
        coarsest: Layers of the coarsest image as a vector, of `Pyramid.coarse_dim` features.
        steps: Steps on each scale, of two convolutional couplings and a rotation of channels each.
        filters: Channels within each coupling.
        clamp: Bound of the logarithms of scales in each coupling.

    Raises:
        ConfigError: The image cannot be halved so often.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        levels: int,
        coarsest: Sequence[nn.Module],
        *,
        steps: int = 2,
        filters: int = 32,
        clamp: float = 2.0,
    ) -> None:
        super().__init__()
        self.coarse_dim(image_shape, levels)
        channels, height, width = image_shape
        self.image_shape = image_shape
        halved = [(height >> k, width >> k) for k in range(levels, 0, -1)]
        self.coarse_shape = (*halved[0], channels)
        self.coarsest = nn.ModuleList(coarsest)
        self.scales = nn.ModuleList(
            _Scale((*size, channels), steps, filters, clamp) for size in halved
        )
        self.sizes = [math.prod(self.coarse_shape)]
        self.sizes += [3 * channels * math.prod(size) for size in halved]

    @staticmethod
    def coarse_dim(image_shape: tuple[int, ...], levels: int) -> int:
        """Return how many numbers the coarsest image has.

        Raises:
            ConfigError: The image cannot be halved so often.
        """
        fits = levels >= 1 and len(image_shape) == 3
        if not fits or any(size % 2**levels for size in image_shape[1:]):
            raise ConfigError(
                f"Found images of shape {tuple(image_shape)}, which cannot be halved {levels} "
                "times. Give channels, height and width, both divisible by 2 to that power."
            )
        return math.prod(image_shape) // 4**levels

    def forward(
        self, latent: Float[Tensor, "datum latent"]
    ) -> tuple[Float[Tensor, "datum feature"], Float[Tensor, " datum"]]:
        """Return images as vectors, and log-determinants."""
        value, *details = latent.split(self.sizes, -1)
        total = latent.new_zeros(len(latent))
        for layer in self.coarsest:
            value, log_det = layer(value)
            total = total + log_det
        image = value.unflatten(-1, self.coarse_shape)
        for scale, detail in zip(self.scales, details, strict=True):
            image, log_det = scale(image, detail)
            total = total + log_det
        return image.movedim(-1, -3).flatten(1), total

    def inverse(
        self, data: Float[Tensor, "datum feature"]
    ) -> tuple[Float[Tensor, "datum latent"], Float[Tensor, " datum"]]:
        """Return latents, and log-determinants."""
        image = data.unflatten(-1, self.image_shape).movedim(-3, -1)
        total, details = data.new_zeros(len(data)), []
        for scale in reversed(self.scales):
            image, detail, log_det = cast(_Scale, scale).inverse(image)
            details.append(detail)
            total = total + log_det
        value = image.flatten(1)
        for layer in reversed(self.coarsest):
            value, log_det = cast(Any, layer).inverse(value)
            total = total + log_det
        return torch.cat([value, *reversed(details)], -1), total

    @torch.no_grad()
    def initialise(self, data: Float[Tensor, "datum feature"]) -> None:
        """Let each scale's channels start with mean zero and standard deviation one.

        Raises:
            DataError: A channel is the same in all pixels of all images.
        """
        image = data.unflatten(-1, self.image_shape).movedim(-3, -1)
        for scale in reversed(self.scales):
            image = cast(_Scale, scale).initialise(image)


class _Scale(nn.Module):
    """One doubling: a coarse image and latents of details to an image of twice the size.

    Args:
        shape: Height, width and channels of the coarse image.
        steps: As for `Pyramid`, as is what follows.
        filters: Channels within each coupling.
        clamp: Bound of the logarithms of scales.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int, filters: int, clamp: float) -> None:
        super().__init__()
        self.shape = shape
        few, many = shape[-1], 4 * shape[-1]
        swap = torch.arange(many).roll(many // 2)

        def coupling(kept: int) -> nn.Module:
            return AffineCoupling(many, (filters, filters), clamp=clamp, kept=kept, kernel=3)

        layers: list[nn.Module] = [coupling(few)]
        for _ in range(steps):
            layers += [Rotation(many)]
            for _ in range(2):
                layers += [coupling(many // 2), Permutation(many, swap)]
        self.turn = Rotation(many - few)
        self.layers = nn.ModuleList([*layers, ActNorm(many), Haar()])

    def forward(
        self, coarse: Float[Tensor, "datum row column channel"], latent: Float[Tensor, "datum rest"]
    ) -> tuple[Float[Tensor, "datum height width channel"], Float[Tensor, " datum"]]:
        """Return the image of twice the size, and log-determinants."""
        detail, _ = self.turn(latent.unflatten(-1, (*self.shape[:2], -1)))
        value, total = torch.cat([coarse, detail], -1), latent.new_zeros(len(latent))
        for layer in self.layers:
            given = value
            value, log_det = layer(given)
            total = total + _summed(log_det, given)
        return value, total

    def inverse(
        self, image: Float[Tensor, "datum height width channel"]
    ) -> tuple[
        Float[Tensor, "datum row column channel"],
        Float[Tensor, "datum rest"],
        Float[Tensor, " datum"],
    ]:
        """Return the coarse image, latents of details, and log-determinants."""
        value, total = image, image.new_zeros(len(image))
        for layer in reversed(self.layers):
            value, log_det = cast(Any, layer).inverse(value)
            total = total + _summed(log_det, value)
        coarse, detail = value.tensor_split([self.shape[-1]], -1)
        latent, _ = self.turn.inverse(detail)
        return coarse, latent.flatten(1), total

    def initialise(
        self, image: Float[Tensor, "datum height width channel"]
    ) -> Float[Tensor, "datum row column channel"]:
        """Let channels start from these images, and return the coarse ones."""
        value = image
        for layer in reversed(self.layers):
            if isinstance(layer, ActNorm):
                layer.initialise(value.flatten(0, 2))
            value, _ = cast(Any, layer).inverse(value)
        return value[..., : self.shape[-1]]


def _summed(log_det: Tensor, coefficients: Tensor) -> Tensor:
    """Sum log-determinants over pixels; some layers give one number for every pixel."""
    return log_det.expand(coefficients.shape[:-1]).flatten(1).sum(1)

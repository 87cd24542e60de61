"""Guides of the baselines."""

from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from ..zoo.baselines import VariationalAutoencoder
from ..zoo.config import AbstractConfig
from ..zoo.nets import ImageEncoder
from .encoders import NormalHead

__all__ = ["VariationalAutoencoderGuide"]


class VariationalAutoencoderGuide(nn.Module):
    """Reads each frame by itself: `z ~ Normal(encoder(image))`.

    Args:
        model: The model whose latents it infers.
        config: Its own sizes.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes of the encoder.

        Attributes:
            hidden_dim: Width of the hidden layer.
            feature_dim: Length of the feature vector.
        """

        hidden_dim: int = 128
        feature_dim: int = 128

        def check(self) -> None:
            """Refuse sizes below one."""
            for name in ("hidden_dim", "feature_dim"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    def __init__(self, model: VariationalAutoencoder, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        self.frames = ImageEncoder(model.config.image_shape, config.hidden_dim, config.feature_dim)
        self.latent = NormalHead(config.feature_dim, model.config.latent_dim)

    def latent_posterior(
        self, images: Float[Tensor, "batch frame channel height width"]
    ) -> TorchDistribution:
        """Return q(z | images) of all frames."""
        posterior: TorchDistribution = self.latent(self.frames(images)).to_event(1)
        return posterior

    def forward(
        self,
        images: Float[Tensor, "batch frame channel height width"],
        *,
        size: int | None = None,
    ) -> None:
        """Draw the latents of every frame."""
        count = images.shape[-5]
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            pyro.sample("z", self.latent_posterior(images))

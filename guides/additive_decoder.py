"""Guide of additive decoders."""

import math
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Delta, Normal, TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..zoo.additive_decoder import AdditiveDecoder
from ..zoo.config import AbstractConfig
from ..zoo.nets import mlp
from ..zoo.nets.places import PlaceEncoder

__all__ = ["AdditiveDecoderGuide"]

_MINIMUM_SCALE = 1e-3


class AdditiveDecoderGuide(nn.Module):
    """Reads all blocks of each frame at once: `z ~ Normal(encoder(image))`, or a point.

    Args:
        model: The model whose latents it infers.
        config: Its own sizes.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the guide.

        Attributes:
            posterior: "normal"; or "point", the encoder of an autoencoder.
            network: "perceptron"; or "places", which reads where features are.
            hidden_dim: Width of the hidden layers.
            num_layers: Number of these, of a perceptron.
        """

        posterior: Literal["normal", "point"] = "normal"
        network: Literal["perceptron", "places"] = "perceptron"
        hidden_dim: int = 128
        num_layers: int = 5

        def check(self) -> None:
            """Refuse sizes below one."""
            for name in ("hidden_dim", "num_layers"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    def __init__(self, model: AdditiveDecoder, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        self.shape = (model.config.num_blocks, model.config.block_dim)
        numbers = math.prod(self.shape) * (2 if config.posterior == "normal" else 1)
        shape = model.config.image_shape
        if config.network == "places":
            self.encoder: nn.Module = PlaceEncoder(shape, config.hidden_dim, numbers)
        else:
            hidden = [config.hidden_dim] * config.num_layers
            self.encoder = nn.Sequential(nn.Flatten(-3), mlp([math.prod(shape), *hidden, numbers]))

    def latent_posterior(
        self, images: Float[Tensor, "batch frame channel height width"]
    ) -> TorchDistribution:
        """Return q(z | images) of all frames."""
        found: Tensor = self.encoder(2 * images - 1)
        if self.config.posterior == "point":
            return Delta(found.unflatten(-1, self.shape), event_dim=3)
        location, scale = (part.unflatten(-1, self.shape) for part in found.chunk(2, -1))
        return Normal(location, softplus(scale) + _MINIMUM_SCALE).to_event(3)

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

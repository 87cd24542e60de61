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
from ..zoo.distributions import IndependentSpikes
from ..zoo.nets import mlp

__all__ = ["AdditiveDecoderGuide"]

_MINIMUM_SCALE = 1e-3


class AdditiveDecoderGuide(nn.Module):
    """Reads all blocks of each frame at once: `z ~ Normal(encoder(image))`, or a point.

    Where blocks may be absent, it reads the log-odds of each too, and its objective sums over which
    ones are there, exactly. What it says of the latents of an absent block is the prior.

    Args:
        model: The model whose latents it infers.
        config: Its own sizes.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the guide.

        Attributes:
            posterior: "normal"; or "point", the encoder of an autoencoder.
            hidden_dim: Width of the hidden layers.
            num_layers: Number of these.
            estimator: How to sum over the blocks that are present, see `IndependentSpikes`.
        """

        posterior: Literal["normal", "point"] = "normal"
        hidden_dim: int = 128
        num_layers: int = 5
        estimator: Literal["enumerate", "local_expectation"] = "enumerate"

        def check(self) -> None:
            """Refuse sizes below one."""
            for name in ("hidden_dim", "num_layers"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    def __init__(self, model: AdditiveDecoder, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        self.shape = (model.config.num_blocks, model.config.block_dim)
        self.spikes = model.config.num_blocks if model.config.presence < 1 else 0
        self.latents = math.prod(self.shape) * (2 if config.posterior == "normal" else 1)
        hidden = [config.hidden_dim] * config.num_layers
        pixels = math.prod(model.config.image_shape)
        self.encoder = mlp([pixels, *hidden, self.latents + self.spikes])

    def read(self, images: Float[Tensor, "*batch channel height width"]) -> tuple[Tensor, Tensor]:
        """Return what the encoder says of the latents of each image, and of its spikes."""
        found = self.encoder(2 * images.flatten(-3) - 1).split([self.latents, self.spikes], -1)
        return found[0], found[1]

    def latent_posterior(
        self, images: Float[Tensor, "batch frame channel height width"]
    ) -> TorchDistribution:
        """Return q(z | images) of all frames."""
        return self._latent_posterior(self.read(images)[0])

    def presence_posterior(
        self, images: Float[Tensor, "batch frame channel height width"]
    ) -> TorchDistribution:
        """Return q(presence | images) of all frames."""
        return self._presence_posterior(self.read(images)[1])

    def _latent_posterior(self, found: Tensor) -> TorchDistribution:
        if self.config.posterior == "point":
            return Delta(found.unflatten(-1, self.shape), event_dim=3)
        location, scale = (part.unflatten(-1, self.shape) for part in found.chunk(2, -1))
        return Normal(location, softplus(scale) + _MINIMUM_SCALE).to_event(3)

    def _presence_posterior(self, logits: Tensor) -> TorchDistribution:
        return IndependentSpikes(logits, estimator=self.config.estimator).to_event(1)

    def forward(
        self,
        images: Float[Tensor, "batch frame channel height width"],
        *,
        size: int | None = None,
    ) -> None:
        """Draw the latents of every frame."""
        count = images.shape[-5]
        latents, spikes = self.read(images)
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            if self.spikes:
                pyro.sample("presence", self._presence_posterior(spikes))
            pyro.sample("z", self._latent_posterior(latents))

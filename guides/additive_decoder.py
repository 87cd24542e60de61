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
from ..zoo.distributions import Estimator, IndependentSpikes, SpikePatterns, patterns_of
from ..zoo.nets import mlp
from ..zoo.nets.places import PlaceEncoder
from ..zoo.schedules import Schedule

__all__ = ["AdditiveDecoderGuide"]

_MINIMUM_SCALE = 1e-3


class AdditiveDecoderGuide(nn.Module):
    """Reads all blocks of each frame at once: `z ~ Normal(encoder(image))`, or a point.

    Where blocks may be absent, the objective sums over which ones are there. By Bayes' rule,

        presence ~ p(presence | z, image)

    that sum is exact: all patterns are tried, and none is learned. What an image says of the
    latents of an absent block is nothing, so their posterior becomes the prior.

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
            presence: Which blocks are there: by Bayes' rule; or "enumerate" and
                "local_expectation", which read the log-odds of each off the image, for all patterns
                or for more blocks, see `IndependentSpikes`.
        """

        posterior: Literal["normal", "point"] = "normal"
        network: Literal["perceptron", "places"] = "perceptron"
        hidden_dim: int = 128
        num_layers: int = 5
        presence: Literal["bayes", "enumerate", "local_expectation"] = "bayes"

        def check(self) -> None:
            """Refuse sizes below one."""
            for name in ("hidden_dim", "num_layers"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    def __init__(self, model: AdditiveDecoder, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        self.shape = (model.config.num_blocks, model.config.block_dim)
        object.__setattr__(self, "model", model)  # whose parameters are not the guide's
        present, by_rule = model.config.presence < 1, config.presence == "bayes"
        self.spikes = model.config.num_blocks if present and not by_rule else 0
        self.latents = math.prod(self.shape) * (2 if config.posterior == "normal" else 1)
        shape, numbers = model.config.image_shape, self.latents + self.spikes
        if config.network == "places":
            self.encoder: nn.Module = PlaceEncoder(shape, config.hidden_dim, numbers)
        else:
            hidden = [config.hidden_dim] * config.num_layers
            self.encoder = nn.Sequential(nn.Flatten(-3), mlp([math.prod(shape), *hidden, numbers]))
        self.register_buffer("temperature", torch.tensor(1.0) if present and by_rule else None)

    model: AdditiveDecoder
    temperature: Tensor | None

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The temperature of Bayes' rule falls as the weight of the KL of presence does.

        So it stays the best law of presence for the objective.
        """
        if self.temperature is None:
            return {}
        return {"temperature": self.model.kl_schedule["presence"]}

    def read(self, images: Float[Tensor, "*batch channel height width"]) -> tuple[Tensor, Tensor]:
        """Return what the encoder says of the latents of each image, and of its spikes."""
        found = self.encoder(2 * images - 1).split([self.latents, self.spikes], -1)
        return found[0], found[1]

    def latent_posterior(
        self, images: Float[Tensor, "batch frame channel height width"]
    ) -> TorchDistribution:
        """Return q(z | images) of all frames."""
        return self._latent_posterior(self.read(images)[0])

    def _latent_posterior(self, found: Tensor) -> TorchDistribution:
        if self.config.posterior == "point":
            return Delta(found.unflatten(-1, self.shape), event_dim=3)
        location, scale = (part.unflatten(-1, self.shape) for part in found.chunk(2, -1))
        return Normal(location, softplus(scale) + _MINIMUM_SCALE).to_event(3)

    def presence_posterior(
        self,
        images: Float[Tensor, "*#batch frame channel height width"],
        latent: Float[Tensor, "*#batch frame block latent"],
    ) -> TorchDistribution:
        """Return q(presence | z, images) of all frames."""
        if self.temperature is None:
            return self._read_presence(self.read(images)[1])
        with torch.no_grad():  # the best law has no slope
            prior = self.model.presence_prior(latent.shape[-3]).base_dist
            patterns = patterns_of(latent[..., 0])
            given = self.model.image_likelihood(latent, patterns).base_dist.log_prob(images)
            weight = given / self.temperature + prior.log_prob(patterns)
        return SpikePatterns(weight.movedim(0, -1), num_spikes=self.shape[0]).to_event(1)

    def _read_presence(self, logits: Tensor) -> TorchDistribution:
        by = self.config.presence
        estimator: Estimator = "local_expectation" if by == "local_expectation" else "enumerate"
        return IndependentSpikes(logits, estimator=estimator).to_event(1)

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
            latent = pyro.sample("z", self._latent_posterior(latents))
            if self.spikes:
                pyro.sample("presence", self._read_presence(spikes))
            elif self.temperature is not None:
                pyro.sample("presence", self.presence_posterior(images, latent))

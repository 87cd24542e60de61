"""Amortized guide of sparse transformation analysis: q(z0, speed | images) in one pass."""

from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Independent, TorchDistribution
from torch import Tensor, nn

from ..zoo.config import AbstractConfig
from ..zoo.distributions import Estimator, OneActiveField, SpikeAndSlab
from ..zoo.nets import ImageEncoder
from ..zoo.schedules import Schedule
from ..zoo.slabs import make_slab
from ..zoo.sparse_transformation import SEQUENCE, SPEED, START, SparseTransformation
from .encoders import NormalHead, TransitionEncoder

__all__ = ["SparseTransformationGuide"]

# Centres of inferred speeds stay within this many prior scales of the prior's centre. Stillness is
# the spike's business: a speed that could shrink to nothing would leave the spike on for ever. Nor
# are they wider than the prior, whose draws carry points a long way already.
_FARTHEST = 2.0


class SparseTransformationGuide(nn.Module):
    """Reads a sequence and returns where it starts and how fast each field moves it.

    For each sequence:

        z0     ~ Normal(encoder(images_0))
        speed  ~ spike and slab, independent over transitions and fields given the whole sequence

    The published guide reads two neighbouring frames for each transition; this one reads them all,
    which resolves what two frames leave open. With `activity="one"` it infers which of K fields is
    active, and sums over it exactly.

    Args:
        model: The model whose latents it infers; it takes sizes and slab family from there.
        config: Its own options.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and the gradient estimator.

        Attributes:
            hidden_dim: Width of the frame encoder and the transition encoder.
            feature_dim: Length of a frame's feature vector.
            estimator: How gradients reach the spikes, see `mutoscope.zoo.distributions.estimators`.
            temperature: Where the relaxed estimators' temperature ends; schedules begin at 1.
        """

        hidden_dim: int = 128
        feature_dim: int = 128
        estimator: Estimator = "straight_through"
        temperature: float = 0.5

        def check(self) -> None:
            """Refuse sizes below one and temperatures that are not positive."""
            for name in ("hidden_dim", "feature_dim"):
                self.require(getattr(self, name) >= 1, name, "at least 1")
            self.require(self.temperature > 0, "temperature", "positive")

    def __init__(self, model: SparseTransformation, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        self.slab = model.config.slab
        self.slab_scale = model.config.slab_scale
        self.activity = model.config.activity
        self.controls, self.reject_zero = model.controls, model.config.reject_zero
        hidden, feature = config.hidden_dim, config.feature_dim
        self.frames = ImageEncoder(model.config.image_shape, hidden, feature)
        self.start = NormalHead(feature, model.config.latent_dim)
        self.transitions = TransitionEncoder(feature, hidden)
        self.spike = nn.Linear(3 * hidden, model.num_speeds)
        if self.activity == "sparse":
            self.slab_shift = nn.Linear(3 * hidden, model.config.num_fields)
            self.slab_width = nn.Linear(3 * hidden, model.config.num_fields)
        self.register_buffer("temperature", torch.tensor(1.0))

    temperature: Tensor

    @property
    def schedules(self) -> dict[str, Schedule]:
        """How the temperature of relaxed spikes falls during training."""
        return {"temperature": Schedule(start=1.0, end=self.config.temperature, until=0.6)}

    def start_posterior(self, features: Float[Tensor, "batch frame feature"]) -> TorchDistribution:
        """Return q(z0 | images), from the first frame."""
        posterior: TorchDistribution = self.start(features[..., 0, :])
        return posterior

    def speed_posterior(self, features: Float[Tensor, "batch frame feature"]) -> TorchDistribution:
        """Return q(speed | images), from all frames."""
        transitions = self.transitions(features)
        logits = self.spike(transitions)
        if self.activity == "one":
            return OneActiveField(logits.mean(-2), length=logits.shape[-2])
        shift = _FARTHEST * self.slab_scale * torch.tanh(self.slab_shift(transitions))
        width = self.slab_scale * torch.sigmoid(self.slab_width(transitions)) + 1e-3
        return Independent(
            SpikeAndSlab(
                logits,
                make_slab(self.slab, shift, width),
                controls=self.controls,
                reject_zero=self.reject_zero,
                estimator=self.config.estimator,
                temperature=self.temperature,
            ),
            1,
        )

    def forward(
        self,
        images: Float[Tensor, "batch frame channel height width"],
        field: Int[Tensor, " batch"] | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """Draw the latents of every sequence.

        Args:
            images: Observed sequences.
            field: Which field moves each sequence, where that is known and hence not inferred.
            size: Number of sequences of the whole data set.
        """
        count = images.shape[-5]
        features = self.frames(images)
        with pyro.plate(SEQUENCE, size or count, subsample=torch.arange(count), dim=-1):
            pyro.sample(START, self.start_posterior(features))
            if field is None:
                pyro.sample(SPEED, self.speed_posterior(features))

"""Amortized guide of distributed operators: q(code, transformation | images)."""

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from ..zoo.config import AbstractConfig
from ..zoo.distributed_operator import CODE, SEQUENCE, TRANSFORMATION, DistributedOperator
from ..zoo.distributions import OneOf
from ..zoo.nets import mlp

__all__ = ["DistributedOperatorGuide"]

_ALONE = "'correlation' with dynamics='markov', where elements cannot be told frame by frame"
_INITIAL_SCALE = 0.05  # of codes: they are nearly points, since pixels are nearly without noise


class DistributedOperatorGuide(nn.Module):
    """Reads the code off the first frame, and the element off the codes of neighbouring frames.

    For each sequence:

        code            ~ Normal(encoder(images_0), scale)
        transformation  ~ one of the group, given all frames

    With `element="correlation"` the log-odds of an element are how well it carries the code of each
    frame to that of the next: their phase correlation, a Fourier transform over the group. Under
    Markov dynamics they are evidence for each transition, which conditions the chain. With "exact"
    they are those of Bayes' rule, given the code that was drawn; this costs a decoding for each
    element more, and a model that is trained with it need not give the elements their order.

    Args:
        model: The model whose latents it infers.
        config: Its own options.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Options of the encoder and of how the element is inferred.

        Attributes:
            hidden_dim: Width of the encoder; 0 makes it linear, as published.
            element: "correlation" of codes, or "exact".
            temperature: Of the correlation, which lies between -1 and 1.
        """

        hidden_dim: int = 0
        element: Literal["correlation", "exact"] = "correlation"
        temperature: float = 0.03

        def check(self) -> None:
            """Refuse negative widths and temperatures that are not positive."""
            self.require(self.hidden_dim >= 0, "hidden_dim", "zero or positive")
            self.require(self.temperature > 0, "temperature", "positive")

    def __init__(self, model: DistributedOperator, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        markov = model.config.dynamics == "markov"
        config.require(not markov or config.element == "correlation", "element", _ALONE)
        object.__setattr__(self, "model", model)  # whose parameters are not the guide's
        hidden = [config.hidden_dim] * (config.hidden_dim > 0)
        pixels, latent = math.prod(model.config.image_shape), model.latent_dim
        self.encoder = mlp([pixels, *hidden, latent])
        self.log_scale = nn.Parameter(torch.full([latent], math.log(_INITIAL_SCALE)))

    model: DistributedOperator

    def inferring(self, element: Literal["correlation", "exact"]) -> "DistributedOperatorGuide":
        """Return this guide, parameters shared, with another way to infer the element."""
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, element=element)
        return other

    def codes(
        self, images: Float[Tensor, "*batch frame channel height width"]
    ) -> Float[Tensor, "*batch frame latent"]:
        """Return the mean code of each frame by itself."""
        codes: Tensor = self.encoder(images.flatten(-3))
        return codes

    def code_posterior(self, codes: Float[Tensor, "*batch frame latent"]) -> TorchDistribution:
        """Return q(code | images), from the first frame."""
        return Normal(codes[..., 0, :], self.log_scale.exp()).to_event(1)

    def transformation_posterior(
        self,
        images: Float[Tensor, "*batch frame channel height width"],
        codes: Float[Tensor, "*batch frame latent"],
        code: Float[Tensor, "*draw latent"],
    ) -> TorchDistribution:
        """Return q(transformation | code, images).

        Args:
            images: The frames.
            codes: The mean code of each.
            code: Draw of the code of the first.
        """
        model = self.model
        if self.config.element == "correlation":
            found = model.operator.correlation(codes[..., :-1, :], codes[..., 1:, :])
            evidence = found / self.config.temperature
            if model.config.dynamics == "constant":
                return OneOf(evidence.mean(-2))
            return model.transformation_prior(evidence.shape[-2]).given(evidence)
        element = torch.arange(len(model.group), device=code.device)
        pose = model.poses(element, images.shape[-4] - 1)
        likelihood = model.image_likelihood(code.unsqueeze(-2), pose)
        return OneOf(likelihood.log_prob(images.unsqueeze(-5)))

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"],
        transformation: Int[Tensor, "batch *time"] | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """Draw the latents of every sequence.

        Args:
            images: Observed sequences.
            transformation: Which element acts in each, where that is known and hence not inferred.
            size: Number of sequences of the whole data set.
        """
        count, codes = images.shape[-5], self.codes(images)
        with pyro.plate(SEQUENCE, size or count, subsample=torch.arange(count), dim=-1):
            code = pyro.sample(CODE, self.code_posterior(codes))
            if transformation is None:
                posterior = self.transformation_posterior(images, codes, code)
                pyro.sample(TRANSFORMATION, posterior, infer={"enumerate": "parallel"})

"""Amortized guide of distributed operators of a circle: q(code, angle | images)."""

import math
from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from ..zoo.config import AbstractConfig
from ..zoo.continuous_operator import ANGLE, CODE, SEQUENCE, ContinuousOperator
from ..zoo.distributions import AngleArcs
from ..zoo.nets import mlp

__all__ = ["ContinuousOperatorGuide"]

_INITIAL_SCALE = 0.05  # of codes: they are nearly points, since pixels are nearly without noise
_ARCS = 8  # for each turn of the fastest plane; half as many would know the likelihood
_NEWTON_STEPS = 4  # from the middle of an arc
_NARROW, _WIDE = 1e-4, 10  # standard deviations in arcs, between which all are held
_REACH = 4  # standard deviations that a mode may lie outside of its arc


class ContinuousOperatorGuide(nn.Module):
    """Reads the code off the first frame, and the angle off all frames by Bayes' rule.

    For each sequence:

        code   ~ Normal(encoder(images_0), scale)
        angle  ~ p(angle | code, images), in arcs so short that each has one mode

    The log-likelihood is a trigonometric polynomial of the angle where the decoder is linear, known
    from its values at a few angles. In each arc Newton's steps find its maximum, where Laplace's
    approximation makes the posterior Normal. It has no parameters. With a decoder that is not
    linear the polynomial is an interpolation.

    Args:
        model: The model whose latents it infers.
        config: Its own options.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Options of the encoder.

        Attributes:
            hidden_dim: Width of the encoder; 0 makes it linear, as published.
        """

        hidden_dim: int = 0

        def check(self) -> None:
            """Refuse negative widths."""
            self.require(self.hidden_dim >= 0, "hidden_dim", "zero or positive")

    def __init__(self, model: ContinuousOperator, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        object.__setattr__(self, "model", model)  # whose parameters are not the guide's
        hidden = [config.hidden_dim] * (config.hidden_dim > 0)
        pixels, latent = math.prod(model.config.image_shape), model.latent_dim
        self.encoder = mlp([pixels, *hidden, latent])
        self.log_scale = nn.Parameter(torch.full([latent], math.log(_INITIAL_SCALE)))

    model: ContinuousOperator

    def code_posterior(
        self, images: Float[Tensor, "*batch frame channel height width"]
    ) -> TorchDistribution:
        """Return q(code | images), from the first frame."""
        mean: Tensor = self.encoder(images[..., 0, :, :, :].flatten(-3))
        return Normal(mean, self.log_scale.exp()).to_event(1)

    @torch.no_grad()
    def angle_posterior(
        self,
        images: Float[Tensor, "*#batch frame channel height width"],
        code: Float[Tensor, "*#batch latent"],
    ) -> TorchDistribution:
        """Return q(angle | code, images)."""
        error = self.errors(images, code)
        width = 2 * math.pi / error.shape[-1]
        offset = torch.zeros_like(error)
        for _ in range(_NEWTON_STEPS):
            value, slope, curvature = _interpolated(error, offset)
            step = -slope / curvature.clamp_min((_WIDE * width) ** -2)
            offset = (offset + step).clamp(-width / 2, width / 2)
        value, slope, curvature = _interpolated(error, offset)
        scale = curvature.clamp((_WIDE * width) ** -2, (_NARROW * width) ** -2).rsqrt()
        furthest = width / 2 + _REACH * scale
        mode = torch.clamp(offset - slope * scale.square(), -furthest, furthest)
        even = AngleArcs(torch.zeros_like(scale), mode, scale)
        here = ((offset - mode) / scale).square() / 2 - value
        return AngleArcs(even.log_mass + here, mode, scale)

    def errors(
        self,
        images: Float[Tensor, "*#batch frame channel height width"],
        code: Float[Tensor, "*#batch latent"],
    ) -> Float[Tensor, "*batch angle"]:
        """Return minus the log-likelihood of equally spaced angles, up to a constant.

        They are more than it takes to know that of all others, where the decoder is linear.
        """
        transitions = images.shape[-4] - 1
        count = _ARCS * self.model.config.highest_frequency * transitions + 1
        orbit = self.model.orbit(code, count).flatten(-3)
        angle = torch.arange(count, device=code.device)
        total = torch.zeros_like(orbit[..., 0])
        for t in range(1, transitions + 1):
            shown = images[..., t, :, :, :].flatten(-3).unsqueeze(-1)
            wrong = orbit.square().sum(-1) - 2 * (orbit @ shown).squeeze(-1)
            total = total + wrong[..., t * angle % count]
        return total / (2 * self.model.config.image_scale**2)

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"],
        transformation: Int[Tensor, " batch"] | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """Draw the latents of every sequence.

        Args:
            images: Observed sequences.
            transformation: Number of steps in each, where that is known and hence not inferred.
            size: Number of sequences of the whole data set.
        """
        count = images.shape[-5]
        with pyro.plate(SEQUENCE, size or count, subsample=torch.arange(count), dim=-1):
            code = pyro.sample(CODE, self.code_posterior(images))
            if transformation is None:
                pyro.sample(ANGLE, self.angle_posterior(images, code))


def _interpolated(
    values: Float[Tensor, "*batch angle"], offset: Float[Tensor, "*batch angle"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the trigonometric polynomial through values on the circle, and two derivatives.

    Args:
        values: At an odd number of equally spaced angles.
        offset: How far from each of these to look, in radians.
    """
    count = values.shape[-1]
    coefficient = torch.fft.rfft(values, norm="forward")
    coefficient[..., 1:] *= 2
    order = torch.arange(coefficient.shape[-1], device=values.device)
    angle = torch.arange(count, device=values.device) * (2 * math.pi / count) + offset
    phase = angle.unsqueeze(-1) * order
    turned = torch.polar(torch.ones_like(phase), phase) * coefficient.unsqueeze(-2)
    return (
        turned.real.sum(-1),
        -(order * turned.imag).sum(-1),
        -(order.square() * turned.real).sum(-1),
    )

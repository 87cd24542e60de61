"""Guide of additive decoders of sequences."""

import math
from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from ..zoo.additive_motion import AdditiveMotion
from ..zoo.config import AbstractConfig
from ..zoo.nets import mlp

__all__ = ["AdditiveMotionGuide", "Line"]

_LARGEST = 14.0  # log-precision: places within a thousandth


@dataclass(frozen=True, eq=False)
class Line:
    """The posterior of a line through points: of its slope, and of its start given the slope.

    Attributes:
        speed: Mean slope.
        speed_scale: Its standard deviation.
        start: Mean start where the slope is at its mean.
        tilt: Change of that mean with the slope.
        start_scale: Standard deviation of the start given the slope.
    """

    speed: Float[Tensor, "*batch block"]
    speed_scale: Float[Tensor, "*batch block"]
    start: Float[Tensor, "*batch block"]
    tilt: Float[Tensor, "*batch block"]
    start_scale: Float[Tensor, "*batch block"]

    @staticmethod
    def through(
        place: Float[Tensor, "*batch frame block"],
        precision: Float[Tensor, "*batch frame block"],
        prior_scale: float,
    ) -> "Line":
        """Solve the normal equations of Bayesian linear regression.

        Args:
            place: Where each block was seen in each frame.
            precision: How precisely.
            prior_scale: Standard deviation of slopes; that of starts is 1.
        """
        times = torch.arange(place.shape[-2], device=place.device, dtype=place.dtype)[:, None]
        starts = 1 + precision.sum(-2)
        both = (times * precision).sum(-2)
        slopes = prior_scale**-2 + (times.square() * precision).sum(-2)
        toward_start = (precision * place).sum(-2)
        toward_slope = (times * precision * place).sum(-2)
        left = slopes - both.square() / starts  # what is known of the slope, whatever the start
        speed = (toward_slope - toward_start * both / starts) / left
        start = (toward_start - both * speed) / starts
        return Line(speed, left.rsqrt(), start, -both / starts, starts.rsqrt())


class AdditiveMotionGuide(nn.Module):
    """Reads each frame by itself, and lays the most probable line through what it has read.

    For each sequence:

        place[t, b], precision[t, b] = encoder(images_t)
        speed[b]   ~ posterior of a line's slope, if place[t, b] had that precision
        start[b]   ~ posterior of its start, given the slope

    These are exact for a Normal likelihood of places (a conjugate posterior with a network's
    potentials: Johnson et al., "Composing graphical models with neural networks for structured
    representations and fast inference", 2016, arXiv:1603.06277), so start and speed are not taken
    as independent, and sequences may have any number of frames.

    Args:
        model: The model whose latents it infers.
        config: Its own sizes.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes of the guide.

        Attributes:
            hidden_dim: Width of the hidden layers.
            num_layers: Number of these.
        """

        hidden_dim: int = 128
        num_layers: int = 3

        def check(self) -> None:
            """Refuse sizes below one."""
            for name in ("hidden_dim", "num_layers"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    def __init__(self, model: AdditiveMotion, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        self.speed_scale = model.config.speed_scale
        hidden = [config.hidden_dim] * config.num_layers
        pixels = math.prod(model.config.image_shape)
        self.encoder = mlp([pixels, *hidden, 2 * model.config.num_blocks])

    def line(self, images: Float[Tensor, "*batch frame channel height width"]) -> Line:
        """Return the posterior of the line of each block."""
        place, log_precision = self.encoder(2 * images.flatten(-3) - 1).chunk(2, -1)
        precision = log_precision.clamp(max=_LARGEST).exp()
        return Line.through(place, precision, self.speed_scale)

    def speed_posterior(self, line: Line) -> TorchDistribution:
        """Return q(speed | images)."""
        return Normal(line.speed, line.speed_scale).to_event(1)

    def start_posterior(
        self, line: Line, speed: Float[Tensor, "*batch block"]
    ) -> TorchDistribution:
        """Return q(start | images, speed)."""
        mean = line.start + line.tilt * (speed - line.speed)
        return Normal(mean, line.start_scale).to_event(1)

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"],
        *,
        size: int | None = None,
    ) -> None:
        """Draw the latents of every sequence."""
        count = images.shape[-5]
        line = self.line(images)
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            speed = pyro.sample("speed", self.speed_posterior(line))
            pyro.sample("start", self.start_posterior(line, speed))

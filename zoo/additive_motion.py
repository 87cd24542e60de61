"""Additive decoders of sequences: each part moves, at a steady speed of its own.

The decoders are those of Lachapelle et al. 2023, arXiv:2307.02598; that parts move is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .additive_decoder import AdditiveDecoder
from .config import AbstractConfig
from .data_checks import check_sequences

__all__ = ["AdditiveMotion"]


class AdditiveMotion(nn.Module):
    """A sequence is a sum of parts, each of which goes its own way.

    For each sequence:

        start[b] ~ Normal(0, 1)                                   for each block b, one number
        speed[b] ~ Normal(0, speed_scale)
        z[t, b]  = start[b] + t speed[b]                          not random
        images   ~ Normal(background + sum of decoder_b(z[t, b]), image_scale)

    The decoder is that of `AdditiveDecoder`, with one latent for each block. Transport is the
    simplest there is, a steady flow along a line: fields that bend need `SparseTransformation`. In
    return it ties the scale of the latent: what moves steadily in the world does so in the latent
    only if one is a linear function of the other, wherever that object is seen to go. So speeds are
    known up to one factor for each block, which a few labelled sequences tell (`SpeedUnits`).

    Times are in frames. How sure it is of a speed hangs on `image_scale`, which should be that of
    the noise in the data.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames of a simulated sequence; data may have another.
            num_blocks: Number of blocks.
            decoder: As in `AdditiveDecoder`.
            decoder_hidden_dim: Width of the hidden layers of each network.
            decoder_layers: Number of these.
            speed_scale: Standard deviation of speeds, where places have one of 1.
            image_scale: Standard deviation of the pixels.
        """

        image_shape: tuple[int, int, int]
        length: int = 5
        num_blocks: int = 2
        decoder: Literal["additive", "masked", "joint"] = "additive"
        decoder_hidden_dim: int = 128
        decoder_layers: int = 3
        speed_scale: float = 0.3
        image_scale: float = 0.05

        def check(self) -> None:
            """Refuse what moves nowhere; the rest is refused by the decoder."""
            self.require(self.length >= 2, "length", "at least 2 frames")
            self.require(self.speed_scale > 0, "speed_scale", "positive")
            self.still()

        def still(self) -> AdditiveDecoder.Config:
            """Return the configuration of the decoder of single frames."""
            return AdditiveDecoder.Config(
                image_shape=self.image_shape,
                num_blocks=self.num_blocks,
                decoder=self.decoder,
                decoder_hidden_dim=self.decoder_hidden_dim,
                decoder_layers=self.decoder_layers,
                image_scale=self.image_scale,
            )

    dims = {  # noqa: RUF012 - read only
        "start": ("sequence", "block"),
        "speed": ("sequence", "block"),
        "z": ("sequence", "frame", "block", "latent"),
        "images": ("sequence", "frame", "channel", "row", "column"),
    }
    coords: dict[str, list[str]] = {}  # noqa: RUF012 - read only

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.still = AdditiveDecoder(config.still())
        self.register_buffer("zero", torch.zeros(()))

    zero: Tensor

    def start_prior(self) -> TorchDistribution:
        """Return p(start)."""
        return Normal(self.zero, 1 + self.zero).expand([self.config.num_blocks]).to_event(1)

    def speed_prior(self) -> TorchDistribution:
        """Return p(speed)."""
        scale = self.config.speed_scale + self.zero
        return Normal(self.zero, scale).expand([self.config.num_blocks]).to_event(1)

    def moved(
        self,
        start: Float[Tensor, "*batch block"],
        speed: Float[Tensor, "*batch block"],
        frames: int,
    ) -> Float[Tensor, "*batch frame block 1"]:
        """Return where each block is in each frame."""
        times = torch.arange(frames, device=start.device, dtype=start.dtype)[:, None]
        return (start.unsqueeze(-2) + times * speed.unsqueeze(-2)).unsqueeze(-1)

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"] | None = None,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Run the generative story; see `SparseTransformation.forward` for the arguments."""
        count = (size or 1) if images is None else images.shape[-5]
        frames = self.config.length if images is None else images.shape[-4]
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            start = pyro.sample("start", self.start_prior())
            speed = pyro.sample("speed", self.speed_prior())
            latent = pyro.deterministic("z", self.moved(start, speed, frames), event_dim=3)
            return pyro.sample("images", self.still.image_likelihood(latent), obs=images)

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are sequences that the model can be fitted to."""
        check_sequences(batch, self.config.image_shape, known={"images"}, minimum_frames=2)

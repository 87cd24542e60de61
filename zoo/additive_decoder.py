"""Additive decoders: an image is a sum of parts, each made of a block of the latents by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .config import AbstractConfig
from .data_checks import check_sequences
from .distributions import PixelNormal
from .memory import check_memory
from .nets.blocks import BlockBroadcastDecoder, BlockConvolutionalDecoder, BlockDecoder

__all__ = ["AdditiveDecoder"]

_SIZES = ("length", "block_dim", "decoder_hidden_dim", "decoder_layers", "decoder_channels")


class AdditiveDecoder(nn.Module):
    """An image is a sum of parts, each of which knows nothing of the others.

    For each sequence and each of its frames:

        z[b]    ~ Normal(0, I)                                   for each block b
        parts[b] = decoder_b(z[b])
        images  ~ Normal(background + sum of parts, image_scale)

    Lachapelle, Mahajan, Mitliagkas, Lacoste-Julien, "Additive decoders for latent variables
    identification and Cartesian-product extrapolation", NeurIPS 2023, arXiv:2307.02598. If true
    images are such sums, and their parts curved enough, a decoder that reconstructs all of them has
    found the true blocks, up to their order and a map within each; so it can also make images whose
    blocks were never seen together. Blocks may depend on each other in the data, whose support may
    have almost any shape but has to be connected. Parts are known up to constants that cancel in
    the sum.

    The theorem is about reconstruction alone: `prior="none"` with a guide of `posterior="point"`
    is the published autoencoder. With a prior and a Normal guide this is an extension of it, to
    which no theorem applies. `decoder="joint"` is the baseline: one network of the same shape that
    reads all latents.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames of a simulated sequence; data may have another.
            num_blocks: Number of blocks.
            block_dim: Number of latents of a block.
            decoder: "additive", a network for each block; or "joint", one that reads them all.
            network: Of the decoder: "perceptron"; "convolutional", with two hidden layers and
                transposed convolutions; or "broadcast", which makes each pixel of the latents and
                its place: slower, and better where blocks say where something is.
            decoder_hidden_dim: Width of the hidden layers of each network that is no "broadcast".
            decoder_layers: Number of hidden layers, but of "convolutional".
            decoder_channels: Number of features of each pixel, but of perceptrons.
            prior: "normal"; or "none", which counts no prior in the objective.
            image_scale: Standard deviation of the pixels.
        """

        image_shape: tuple[int, int, int]
        length: int = 1
        num_blocks: int = 2
        block_dim: int = 1
        decoder: Literal["additive", "joint"] = "additive"
        network: Literal["perceptron", "convolutional", "broadcast"] = "perceptron"
        decoder_hidden_dim: int = 128
        decoder_layers: int = 5
        decoder_channels: int = 32
        prior: Literal["normal", "none"] = "normal"
        image_scale: float = 0.05

        def check(self) -> None:
            """Refuse a single block and sizes below one."""
            self.require(all(n >= 1 for n in self.image_shape), "image_shape", "positive sizes")
            self.require(self.num_blocks >= 2, "num_blocks", "at least 2: one block is no sum")
            for name in _SIZES:
                self.require(getattr(self, name) >= 1, name, "at least 1")
            self.require(self.image_scale > 0, "image_scale", "positive")

    dims = {  # noqa: RUF012 - read only
        "z": ("sequence", "frame", "block", "latent"),
        "images": ("sequence", "frame", "channel", "row", "column"),
    }
    coords: dict[str, list[str]] = {}  # noqa: RUF012 - read only

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        check_memory(lambda: _decoder(config), f"num_blocks={config.num_blocks}")
        self.decoder = _decoder(config)
        self.background = nn.Parameter(torch.full(config.image_shape, 0.5))
        self.register_buffer("zero", torch.zeros(()))

    zero: Tensor

    def latent_prior(self, frames: int) -> TorchDistribution:
        """Return p(z) of all frames of a sequence."""
        shape = [frames, self.config.num_blocks, self.config.block_dim]
        prior: TorchDistribution = Normal(self.zero, 1 + self.zero).expand(shape).to_event(3)
        return prior if self.config.prior == "normal" else prior.mask(False)

    def parts(
        self, latent: Float[Tensor, "*batch block latent"]
    ) -> Float[Tensor, "*batch part channel height width"]:
        """Return the images whose sum, with the background, is the mean image.

        There is one for each block, or a single one if `decoder="joint"`.
        """
        if self.config.decoder == "joint":
            latent = latent.flatten(-2).unsqueeze(-2)
        parts: Tensor = self.decoder(latent)
        return parts

    def mean_image(
        self, latent: Float[Tensor, "*batch block latent"]
    ) -> Float[Tensor, "*batch channel height width"]:
        """Return the background with all parts."""
        return self.background + self.parts(latent).sum(-4)

    def image_likelihood(
        self, latent: Float[Tensor, "*batch frame block latent"]
    ) -> TorchDistribution:
        """Return p(images | z)."""
        scale = self.config.image_scale + self.zero
        return PixelNormal(self.mean_image(latent), scale).to_event(1)

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
            latent = pyro.sample("z", self.latent_prior(frames))
            return pyro.sample("images", self.image_likelihood(latent), obs=images)

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are images that the model can be fitted to."""
        check_sequences(batch, self.config.image_shape, known={"images"})


def _decoder(config: AdditiveDecoder.Config) -> nn.Module:
    """Return the networks of all blocks, or the single one of the baseline."""
    blocks, size = config.num_blocks, config.block_dim
    if config.decoder == "joint":
        blocks, size = 1, blocks * size
    shape, layers, channels = config.image_shape, config.decoder_layers, config.decoder_channels
    if config.network == "convolutional":
        hidden = config.decoder_hidden_dim
        return BlockConvolutionalDecoder(blocks, size, shape, hidden, channels)
    if config.network == "broadcast":
        return BlockBroadcastDecoder(blocks, size, shape, channels, layers)
    return BlockDecoder(blocks, size, shape, config.decoder_hidden_dim, layers)

"""Additive decoders: an image is a sum of parts, each made of a block of the latents by itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution, TransformedDistribution
from torch import Tensor, nn
from torch.distributions.transforms import ReshapeTransform

from .config import AbstractConfig
from .data_checks import check_sequences
from .distributions import IndependentSpikes, PixelNormal
from .flows import AffineCoupling, FlowTransform, Rotation
from .memory import check_memory
from .nets.blocks import BlockBroadcastDecoder, BlockConvolutionalDecoder, BlockDecoder
from .schedules import Schedule

__all__ = ["AdditiveDecoder"]

_COUNTS = (
    "length",
    "block_dim",
    "decoder_hidden_dim",
    "decoder_layers",
    "decoder_channels",
    "couplings",
)
_FLOW_HIDDEN = (64, 64)


class AdditiveDecoder(nn.Module):
    """An image is a sum of parts, each of which knows nothing of the others.

    For each sequence and each of its frames:

        presence[b] ~ Bernoulli(p)                               for each block b, if p < 1
        z[b]        ~ Normal(0, I)
        parts[b]    = decoder_b(z[b])
        images      ~ Normal(background + sum of parts that are present, image_scale)

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

    With `prior="flow"` a flow of couplings makes of the z of a frame, taken together, what depends
    across blocks: simulated images then combine blocks as the data do.

    With `decoder="masked"` each block also makes a mask, and pixels are shared out among blocks and
    background by the softmax of all masks, in which the background has 0: what is in front hides
    what is behind. parts[b] = mask[b] * (decoder_b(z[b]) - background). Since masks are normalised
    across blocks, this is no sum of functions of single blocks: it leaves the theorem, and blocks
    recombine as far as they do not overlap.

    With `presence` below 1, pictures show different numbers of objects, and blocks that a picture
    does not need go dark: spike and slab over objects. The guide sums over which ones are there.
    Spare blocks may take over an object in a part of its places: then one at a time is lit.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames of a simulated sequence; data may have another.
            num_blocks: Number of blocks.
            block_dim: Number of latents of a block.
            decoder: "additive", a network for each block; "masked", whose pictures hide each other;
                or "joint", one network that reads them all.
            network: Of the decoder: "perceptron"; "convolutional", with two hidden layers and
                transposed convolutions; or "broadcast", which makes each pixel of the latents and
                its place: slower, and better where blocks say where something is.
            decoder_hidden_dim: Width of the hidden layers of each network that is no "broadcast".
            decoder_layers: Number of hidden layers, but of "convolutional".
            decoder_channels: Number of features of each pixel, but of perceptrons.
            prior: "normal"; "flow", which is learned; or "none", which counts no prior in the
                objective.
            couplings: Number of couplings of the flow.
            presence: Probability that a block is present; 1 for blocks that always are.
            ground: Grey level from which the background is learned. With `presence`, give that of
                the data: blocks would stay lit to make up for another.
            image_scale: Standard deviation of the pixels.
        """

        image_shape: tuple[int, int, int]
        length: int = 1
        num_blocks: int = 2
        block_dim: int = 1
        decoder: Literal["additive", "masked", "joint"] = "additive"
        network: Literal["perceptron", "convolutional", "broadcast"] = "perceptron"
        decoder_hidden_dim: int = 128
        decoder_layers: int = 5
        decoder_channels: int = 32
        prior: Literal["normal", "flow", "none"] = "normal"
        couplings: int = 4
        presence: float = 1.0
        ground: float = 0.5
        image_scale: float = 0.05

        def check(self) -> None:
            """Refuse a single block and sizes below one."""
            self.require(all(n >= 1 for n in self.image_shape), "image_shape", "positive sizes")
            self.require(self.num_blocks >= 2, "num_blocks", "at least 2: one block is no sum")
            for name in _COUNTS:
                self.require(getattr(self, name) >= 1, name, "at least 1")
            self.require(0 < self.presence <= 1, "presence", "above 0, and at most 1")
            apart = self.decoder != "joint" or self.presence == 1
            self.require(apart, "presence", "1 with decoder='joint', which has no parts")
            self.require(0 <= self.ground <= 1, "ground", "from 0 to 1")
            self.require(self.image_scale > 0, "image_scale", "positive")

    coords: dict[str, list[str]] = {}  # noqa: RUF012 - read only

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        check_memory(lambda: _decoder(config), f"num_blocks={config.num_blocks}")
        self.decoder = _decoder(config)
        self.background = nn.Parameter(torch.full(config.image_shape, config.ground))
        numbers = config.num_blocks * config.block_dim
        self.flow = _flow(numbers, config.couplings) if config.prior == "flow" else None
        self.register_buffer("zero", torch.zeros(()))

    zero: Tensor

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        block = ("sequence", "frame", "block")
        spikes = {"presence": block} if self.config.presence < 1 else {}
        images = ("sequence", "frame", "channel", "row", "column")
        return spikes | {"z": (*block, "latent"), "images": images}

    @property
    def kl_schedule(self) -> dict[str, Schedule]:
        """How much the KL of presence weighs during training: in the end fully, as in the ELBO.

        At first it weighs so much that a block is worth lighting for a whole object only, while it
        is open which block draws what.
        """
        if self.config.presence == 1:
            return {}
        return {"presence": Schedule(start=100.0, end=1.0, since=0.1, until=0.7)}

    def presence_prior(self, frames: int) -> TorchDistribution:
        """Return p(presence) of all frames of a sequence."""
        odds = torch.logit(self.config.presence + self.zero)
        return IndependentSpikes(odds.expand(frames, self.config.num_blocks)).to_event(1)

    def latent_prior(self, frames: int) -> TorchDistribution:
        """Return p(z) of all frames of a sequence."""
        blocks = (self.config.num_blocks, self.config.block_dim)
        if self.flow is not None:
            numbers = math.prod(blocks)
            base = Normal(self.zero, 1 + self.zero).expand([frames, numbers]).to_event(1)
            shaped = ReshapeTransform(torch.Size([numbers]), torch.Size(blocks))
            flow: TorchDistribution = TransformedDistribution(base, [self.flow, shaped])
            return flow.to_event(1)
        prior: TorchDistribution = Normal(self.zero, 1 + self.zero).expand([frames, *blocks])
        if self.config.prior == "normal":
            return prior.to_event(3)
        return prior.to_event(3).mask(self.zero > 0)  # False would count a zero of single precision

    def parts(
        self,
        latent: Float[Tensor, "*#batch block latent"],
        presence: Float[Tensor, "*#batch block"] | None = None,
    ) -> Float[Tensor, "*batch part channel height width"]:
        """Return the images whose sum, with the background, is the mean image.

        There is one for each block, or a single one if `decoder="joint"`. Absent ones are zero.
        """
        if self.config.decoder == "joint":
            latent = latent.flatten(-2).unsqueeze(-2)
        made: Tensor = self.decoder(latent)
        there = None if presence is None else presence[..., None, None, None]
        if self.config.decoder == "masked":
            made, depth = made[..., :-1, :, :] - self.background, made[..., -1:, :, :]
            return made * _shares(depth, there)
        return made if there is None else made * there

    def mean_image(
        self,
        latent: Float[Tensor, "*#batch block latent"],
        presence: Float[Tensor, "*#batch block"] | None = None,
    ) -> Float[Tensor, "*batch channel height width"]:
        """Return the background with all parts that are present."""
        if presence is None or self.config.decoder == "masked":
            return self.background + self.parts(latent, presence).sum(-4)
        # Parts are the same in all combinations, of which there may be many.
        shown = (presence.unsqueeze(-2) @ self.parts(latent).flatten(-3)).squeeze(-2)
        return self.background + shown.unflatten(-1, self.config.image_shape)

    def image_likelihood(
        self,
        latent: Float[Tensor, "*#batch frame block latent"],
        presence: Float[Tensor, "*#batch frame block"] | None = None,
    ) -> TorchDistribution:
        """Return p(images | z, presence)."""
        scale = self.config.image_scale + self.zero
        return PixelNormal(self.mean_image(latent, presence), scale).to_event(1)

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
            presence = None
            if self.config.presence < 1:
                presence = pyro.sample("presence", self.presence_prior(frames))
            latent = pyro.sample("z", self.latent_prior(frames))
            return pyro.sample("images", self.image_likelihood(latent, presence), obs=images)

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are images that the model can be fitted to."""
        check_sequences(batch, self.config.image_shape, known={"images"})


def _decoder(config: AdditiveDecoder.Config) -> nn.Module:
    """Return the networks of all blocks, or the single one of the baseline."""
    blocks, size = config.num_blocks, config.block_dim
    if config.decoder == "joint":
        blocks, size = 1, blocks * size
    colours, height, width = config.image_shape
    shape = (colours + (config.decoder == "masked"), height, width)
    layers, channels = config.decoder_layers, config.decoder_channels
    if config.network == "convolutional":
        hidden = config.decoder_hidden_dim
        return BlockConvolutionalDecoder(blocks, size, shape, hidden, channels)
    if config.network == "broadcast":
        return BlockBroadcastDecoder(blocks, size, shape, channels, layers)
    return BlockDecoder(blocks, size, shape, config.decoder_hidden_dim, layers)


def _flow(numbers: int, couplings: int) -> FlowTransform:
    layers: list[nn.Module] = []
    for _ in range(couplings):
        layers += [AffineCoupling(numbers, _FLOW_HIDDEN), Rotation(numbers)]
    return FlowTransform(layers)


def _shares(
    depth: Float[Tensor, "*#batch block 1 height width"],
    there: Float[Tensor, "*#batch block 1 1 1"] | None,
) -> Float[Tensor, "*batch block 1 height width"]:
    """Return how much of each pixel belongs to each block; the rest is the background's."""
    if there is not None:
        depth = torch.where(there > 0, depth, -torch.inf)
    background = torch.zeros_like(depth[..., :1, :, :, :])
    return torch.cat([depth, background], -4).softmax(-4)[..., :-1, :, :, :]

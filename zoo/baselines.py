"""Baselines that the models of the zoo are measured against."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .config import AbstractConfig
from .data_checks import check_sequences
from .distributions import PixelBernoulli
from .nets import ImageDecoder

__all__ = ["VariationalAutoencoder"]


class VariationalAutoencoder(nn.Module):
    """Frames that know nothing of each other: a plain variational autoencoder of single images.

    For each sequence and each of its frames:

        z       ~ Normal(0, I)
        images  ~ Bernoulli(decoder(z))

    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv:1312.6114. As a baseline for
    models of motion it predicts that nothing moves: every frame is the first one's reconstruction.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames of a simulated sequence; data may have another.
            latent_dim: Dimension D of the latent space.
            decoder_hidden_dim: Width of the decoder.
        """

        image_shape: tuple[int, int, int]
        length: int = 9
        latent_dim: int = 16
        decoder_hidden_dim: int = 256

        def check(self) -> None:
            """Refuse sizes below one."""
            self.require(all(n >= 1 for n in self.image_shape), "image_shape", "positive sizes")
            for name in ("length", "latent_dim", "decoder_hidden_dim"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    dims = {  # noqa: RUF012 - read only
        "z": ("sequence", "frame", "latent"),
        "images": ("sequence", "frame", "channel", "row", "column"),
    }
    coords: dict[str, list[str]] = {}  # noqa: RUF012 - read only
    spare = frozenset({"z"})  # there may be more latents than frames need

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.decoder = ImageDecoder(
            config.latent_dim, config.image_shape, config.decoder_hidden_dim
        )
        self.register_buffer("zero", torch.zeros(()))

    zero: Tensor

    def latent_prior(self, frames: int) -> TorchDistribution:
        """Return p(z) of all frames of a sequence."""
        one = torch.ones_like(self.zero)
        return Normal(self.zero, one).expand([frames, self.config.latent_dim]).to_event(2)

    def image_likelihood(self, latent: Float[Tensor, "*batch frame latent"]) -> TorchDistribution:
        """Return p(images | z)."""
        return PixelBernoulli(self.decoder(latent)).to_event(1)

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
        """Raise `DataError` unless these are sequences that the model can be fitted to."""
        check_sequences(batch, self.config.image_shape, known={"images"})

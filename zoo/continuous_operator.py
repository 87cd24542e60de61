"""Distributed operators of a circle: any angle acts on the whole latent code.

After Bouchacourt, Ibrahim, Deny, "Addressing the Topological Defects of Disentanglement via
Distributed Operators", 2021, arXiv:2102.05623, whose groups are finite.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .config import AbstractConfig
from .data_checks import check_elements, check_sequences
from .distributions import PixelNormal, UniformAngle, wrap_angle
from .errors import DataError
from .nets import ImageDecoder, LinearDecoder
from .operators import CircleOperator

__all__ = ["ANGLE", "CODE", "IMAGES", "SEQUENCE", "ContinuousOperator"]

SEQUENCE = "sequence"
CODE = "code"
ANGLE = "angle"
IMAGES = "images"
_LATENT_DIM = 500  # about which codes are made, where nobody says


class ContinuousOperator(nn.Module):
    """Images of one object, each turned by the same angle from the one before.

    For each sequence:

        code    ~ Normal(0, I)                      of the first frame, D numbers
        angle   ~ uniform on the circle             acts between any two frames
        z_t     = psi(t angle) code                 not random
        images  ~ Normal(decoder(z_t), s)           T + 1 frames

    psi(angle) turns planes of the code by 0, 1, … F times the angle, see `CircleOperator`. Of what
    turns, it sees details up to that frequency, and no others are decoded.

    Train it with labels: pairs between which a known step of 1/K turn acts, K above 2 F. What it
    then infers, from images alone, is an angle between the steps too. Without labels an angle is
    known up to its sign at best, and training by the ELBO alone was measured to end in worse: in
    codes whose frequencies are in part those of others.

    How sure it is hangs on `image_scale`. Pixels are taken as independent, and errors of a decoder
    are not: choose it so that intervals hold what they say on labelled data.

    An angle is in radians, from -pi to pi; for a translation all of them cross the picture once. A
    code is of no unit. `image_scale` is in units of pixels, which run from 0 to 1.

    Example:
        >>> from mutoscope.zoo import simulate
        >>> options = {"image_shape": (1, 6, 6), "highest_frequency": 2, "latent_dim": 12}
        >>> config = ContinuousOperator.Config(**options)
        >>> simulate(ContinuousOperator(config), 5, seed=0)["angle"].shape
        torch.Size([5])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames of a simulated sequence; data may have another. 2 are a pair.
            orders: Number K of steps to a full turn in which labels count, where there are any.
            factors: What the angle is of; as the data call it.
            highest_frequency: Number F of times that a code's fastest plane turns in a full turn.
            latent_dim: Dimension D of the code, a multiple of 2 (F + 1). None takes what is nearest
                500.
            decoder_hidden_dim: Width of the decoder; 0 makes it linear, as published.
            image_scale: Standard deviation of pixels.
        """

        image_shape: tuple[int, int, int]
        length: int = 2
        orders: tuple[int, ...] = (24,)
        factors: tuple[str, ...] = ("rotation",)
        highest_frequency: int = 8
        latent_dim: int | None = None
        decoder_hidden_dim: int = 0
        image_scale: float = 0.1

        def check(self) -> None:
            """Refuse sizes below one, and what is no circle."""
            self.require(all(n >= 1 for n in self.image_shape), "image_shape", "positive sizes")
            self.require(self.length >= 2, "length", "at least 2 frames")
            one = len(self.orders) == len(self.factors) == 1
            self.require(one, "orders", "one number of steps, of one factor: a circle")
            self.require(self.orders[0] >= 2, "orders", "at least 2 steps (1 moves nothing)")
            self.require(self.highest_frequency >= 1, "highest_frequency", "at least 1")
            dim = self.latent_dim
            self.require(dim is None or dim >= 1, "latent_dim", "at least 1, or None")
            self.require(self.decoder_hidden_dim >= 0, "decoder_hidden_dim", "zero or positive")
            self.require(self.image_scale > 0, "image_scale", "positive")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        unit = 2 * (config.highest_frequency + 1)
        self.latent_dim: int = config.latent_dim or unit * max(1, round(_LATENT_DIM / unit))
        self.operator = CircleOperator(config.highest_frequency, self.latent_dim)
        sizes = self.latent_dim, config.image_shape
        self.decoder = (
            ImageDecoder(*sizes, config.decoder_hidden_dim)
            if config.decoder_hidden_dim
            else LinearDecoder(*sizes)
        )
        self.register_buffer("zero", torch.zeros(()))

    zero: Tensor

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        return {
            CODE: (SEQUENCE, "latent"),
            ANGLE: (SEQUENCE,),
            IMAGES: (SEQUENCE, "frame", "channel", "row", "column"),
        }

    def code_prior(self) -> TorchDistribution:
        """Return p(code)."""
        one = torch.ones_like(self.zero)
        return Normal(self.zero, one).expand([self.latent_dim]).to_event(1)

    def angle_prior(self) -> TorchDistribution:
        """Return p(angle)."""
        return UniformAngle.like(self.zero)

    def image_likelihood(
        self, code: Float[Tensor, "*#batch latent"], angle: Float[Tensor, "*#batch"], frames: int
    ) -> TorchDistribution:
        """Return p(images | code, angle), one event for all frames of a sequence."""
        pose = angle.unsqueeze(-1) * torch.arange(frames, device=code.device)
        mean = self.decoder(self.operator(code.unsqueeze(-2), pose))
        return PixelNormal(mean, self.zero + self.config.image_scale).to_event(1)

    def orbit(
        self, code: Float[Tensor, "*batch latent"], count: int
    ) -> Float[Tensor, "*batch angle channel height width"]:
        """Return the mean image of a code under so many angles, equally spaced from 0."""
        if isinstance(self.decoder, LinearDecoder):
            linear = self.decoder.linear
            pixels = self.operator.products(code, linear.weight, count) + linear.bias
            return pixels.unflatten(-1, self.config.image_shape)
        angle = torch.arange(count, device=code.device).to(code) * (2 * math.pi / count)
        images: Tensor = self.decoder(self.operator(code.unsqueeze(-2), angle))
        return images

    def label_angle(self, transformation: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Return the angle of a number of steps."""
        return wrap_angle(transformation.to(self.zero) * (2 * math.pi / self.config.orders[0]))

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"] | None = None,
        transformation: Int[Tensor, " batch"] | None = None,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Run the generative story.

        Args:
            images: Observed sequences; None simulates.
            transformation: Number of steps of 1/K turn that act in each, where that is known.
            size: Number of sequences of the whole data set (without images: number to simulate).
        """
        count = (size or 1) if images is None else images.shape[-5]
        frames = self.config.length if images is None else images.shape[-4]
        with pyro.plate(SEQUENCE, size or count, subsample=torch.arange(count), dim=-1):
            code = pyro.sample(CODE, self.code_prior())
            known = None if transformation is None else self.label_angle(transformation)
            angle = pyro.sample(ANGLE, self.angle_prior(), obs=known)
            return pyro.sample(IMAGES, self.image_likelihood(code, angle, frames), obs=images)

    def check_split(self, split: object) -> None:
        """Raise `DataError` if a split says that something else than one cyclic factor acts."""
        orders = getattr(getattr(split, "group", None), "orders", (0,))
        labelled = getattr(split, "labelled", False)
        if len(orders) != 1 or (labelled and orders != self.config.orders):
            raise DataError(
                f"Found data on which a group with orders {orders} acts, but a model of one circle "
                f"whose labels count {self.config.orders[0]} steps. Give data of one factor, and "
                "build the model with `data.model_options`."
            )

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are sequences that the model can be fitted to."""
        known = {IMAGES, "transformation"}
        check_sequences(batch, self.config.image_shape, known=known, minimum_frames=2)
        if "transformation" in batch:
            check_elements(batch["transformation"], batch[IMAGES].shape[:1], self.config.orders)

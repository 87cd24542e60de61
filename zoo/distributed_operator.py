"""Distributed operators: symmetries act on the whole latent code, and which one acted is inferred.

Bouchacourt, Ibrahim, Deny, "Addressing the Topological Defects of Disentanglement via Distributed
Operators", 2021, arXiv:2102.05623.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .config import AbstractConfig
from .data_checks import check_elements, check_sequences
from .distributions import GroupWalk, OneOf, PixelNormal
from .errors import DataError
from .finite_group import FiniteGroup
from .nets import ImageDecoder, LinearDecoder
from .operators import (
    AbstractOperator,
    ShiftOperator,
    StackedOperator,
    complex_operator,
    disentangled_operator,
)

__all__ = ["CODE", "IMAGES", "SEQUENCE", "TRANSFORMATION", "DistributedOperator"]

SEQUENCE = "sequence"
CODE = "code"
TRANSFORMATION = "transformation"
IMAGES = "images"
_LATENT_DIM = 500  # about which codes are made, where nobody says
_MAKE = {
    "shift": ShiftOperator,
    "complex": complex_operator,
    "stacked": StackedOperator,
    "disentangled": disentangled_operator,
}


class DistributedOperator(nn.Module):
    """Images of one object, each a symmetry away from the one before.

    For each sequence:

        code            ~ Normal(0, I)                        of the first frame, D numbers
        transformation  ~ uniform on a finite group G         acts between any two frames
        z_t             = psi(transformation^t) code          not random
        images          ~ Normal(decoder(z_t), s)             T + 1 frames

    With `dynamics="markov"` a sticky chain says which element acts in each of the T transitions,
    and z_t is carried by the product of all so far.

    psi is a representation of G: an invertible linear map of the whole code for each element, see
    `mutoscope.zoo.operators`. `shift` is the regular representation, `complex` its Fourier form,
    `stacked` composes an operator for each factor of G, and `disentangled` turns a plane for each
    factor and leaves all else alone: the usual idea of disentanglement, which cannot carry
    pictures, since it lacks most of the characters of G.

    Where nobody says which element acted, it is summed out exactly. It is then identified up to an
    automorphism of G at best: with K turns, k and u k (u prime to K) explain the data alike. Say
    how often it is right with `element_accuracy`, which allows for that.

    A code is of no unit. `image_scale` is in units of pixels, which run from 0 to 1.

    Example:
        >>> from mutoscope.zoo import simulate
        >>> config = DistributedOperator.Config(image_shape=(1, 6, 6), orders=(3,), latent_dim=12)
        >>> simulate(DistributedOperator(config), 5, seed=0)["transformation"].shape
        torch.Size([5, 3])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames of a simulated sequence; data may have another. 2 are a pair.
            orders: Number K of steps after which each factor of the group is back.
            factors: What the factors are called; those of the data.
            turning: Whether the first factor turns the plane of the other two.
            dynamics: Whether one element acts throughout, or a Markov chain of elements.
            stay: Probability that the chain keeps its element.
            operator: How the group acts on codes.
            latent_dim: Dimension D of the code. `shift` needs a multiple of the number of elements,
                `complex` and `stacked` of twice that, `disentangled` an even number. None takes
                what suits all and is nearest 500.
            decoder_hidden_dim: Width of the decoder; 0 makes it linear, as published.
            image_scale: Standard deviation of pixels.
        """

        image_shape: tuple[int, int, int]
        length: int = 2
        orders: tuple[int, ...] = (10,)
        factors: tuple[str, ...] = ()
        turning: bool = False
        dynamics: Literal["constant", "markov"] = "constant"
        stay: float = 0.9
        operator: Literal["shift", "complex", "stacked", "disentangled"] = "shift"
        latent_dim: int | None = None
        decoder_hidden_dim: int = 0
        image_scale: float = 0.02

        def check(self) -> None:
            """Refuse sizes below one, and what makes no group."""
            self.require(all(n >= 1 for n in self.image_shape), "image_shape", "positive sizes")
            self.require(self.length >= 2, "length", "at least 2 frames")
            dim = self.latent_dim
            self.require(dim is None or dim >= 1, "latent_dim", "at least 1, or None")
            self.require(self.decoder_hidden_dim >= 0, "decoder_hidden_dim", "zero or positive")
            self.require(0 < self.stay < 1, "stay", "strictly between 0 and 1")
            self.require(self.image_scale > 0, "image_scale", "positive")
            self.group()

        def group(self) -> FiniteGroup:
            """Return the group."""
            return FiniteGroup(self.orders, self.factors, turning=self.turning)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.group = config.group()
        unit = 2 * len(self.group)
        self.latent_dim: int = config.latent_dim or unit * max(1, round(_LATENT_DIM / unit))
        self.operator: AbstractOperator = _MAKE[config.operator](self.group, self.latent_dim)
        sizes = self.latent_dim, config.image_shape
        self.decoder = (
            ImageDecoder(*sizes, config.decoder_hidden_dim)
            if config.decoder_hidden_dim
            else LinearDecoder(*sizes)
        )
        self.register_buffer("zero", torch.zeros(()))
        table = self.group.table.to(self.zero.device)
        self.register_buffer("table", table, persistent=False)

    zero: Tensor
    table: Tensor

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        time = ("time",) * (self.config.dynamics == "markov")
        return {
            CODE: (SEQUENCE, "latent"),
            TRANSFORMATION: (SEQUENCE, *time, "element"),
            IMAGES: (SEQUENCE, "frame", "channel", "row", "column"),
        }

    @property
    def coords(self) -> dict[str, list[str]]:
        """Names of the elements of the group."""
        return {"element": self.group.labels}

    def code_prior(self) -> TorchDistribution:
        """Return p(code)."""
        one = torch.ones_like(self.zero)
        return Normal(self.zero, one).expand([self.latent_dim]).to_event(1)

    def transformation_prior(self, transitions: int) -> TorchDistribution:
        """Return p(transformation), with a 1 for the element that acts."""
        if self.config.dynamics == "constant":
            return OneOf(self.zero.expand(len(self.group)))
        return GroupWalk.sticky(self.zero, transitions, self.table, self.config.stay)

    def poses(self, element: Int[Tensor, "..."], transitions: int) -> Int[Tensor, "*batch time"]:
        """Return the product of all that has acted before each frame after the first.

        Args:
            element: Number of the element that acts, in each transition if it may change.
            transitions: How many there are.
        """
        if self.config.dynamics == "constant":
            element = element.unsqueeze(-1).expand(*element.shape, transitions)
        products = [element[..., 0]]
        for acting in element.unbind(-1)[1:]:
            products.append(self.table[acting, products[-1]])
        return torch.stack(products, -1)

    def image_likelihood(
        self, code: Float[Tensor, "*#batch latent"], pose: Int[Tensor, "*#batch time"]
    ) -> TorchDistribution:
        """Return p(images | code, transformation), one event for all frames of a sequence.

        Where frames are asked for at as many poses as there are elements, as when the element is
        summed out, the whole orbit of a code is decoded once, and frames are looked up.
        """
        pose = torch.cat([torch.zeros_like(pose[..., :1]), pose], -1)
        codes = code.shape[:-1].numel()
        asked = torch.broadcast_shapes((*code.shape[:-1], 1), pose.shape).numel()
        if asked <= codes * len(self.group):
            mean = self.decoder(self.operator(code.unsqueeze(-2), pose))
        else:
            place = torch.arange(codes, device=pose.device).reshape(*code.shape[:-1], 1)
            rows = place * len(self.group) + pose
            mean = self.orbit(code).flatten(0, -4)[rows]
        return PixelNormal(mean, self.zero + self.config.image_scale).to_event(1)

    def orbit(
        self, code: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch element channel height width"]:
        """Return the mean image of a code that each element of the group has carried."""
        if isinstance(self.decoder, LinearDecoder):
            linear = self.decoder.linear
            pixels = self.operator.products(code, linear.weight) + linear.bias
            return pixels.unflatten(-1, self.config.image_shape)
        element = self.operator.elements(code)
        images: Tensor = self.decoder(self.operator(code.unsqueeze(-2), element))
        return images

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"] | None = None,
        transformation: Int[Tensor, "batch *time"] | None = None,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Run the generative story.

        Args:
            images: Observed sequences; None simulates.
            transformation: Number of the element that acts in each, where that is known.
            size: Number of sequences of the whole data set (without images: number to simulate).
        """
        count = (size or 1) if images is None else images.shape[-5]
        transitions = (self.config.length if images is None else images.shape[-4]) - 1
        with pyro.plate(SEQUENCE, size or count, subsample=torch.arange(count), dim=-1):
            code = pyro.sample(CODE, self.code_prior())
            prior = self.transformation_prior(transitions)
            known = None if transformation is None else prior.of(transformation)
            element = pyro.sample(TRANSFORMATION, prior, obs=known).argmax(-1)
            pose = self.poses(element, transitions)
            return pyro.sample(IMAGES, self.image_likelihood(code, pose), obs=images)

    def check_split(self, split: object) -> None:
        """Raise `DataError` if a split says that another group acts in it."""
        group: FiniteGroup = getattr(split, "group", self.group)
        if (group.orders, group.turning) != (self.group.orders, self.group.turning):
            raise DataError(
                f"Found data on which a group with orders {group.orders} acts"
                f"{', turning' * group.turning}, but a model of {self.group.orders}"
                f"{', turning' * self.group.turning}. Build it with `data.model_options`."
            )

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are sequences that the model can be fitted to."""
        known = {IMAGES, TRANSFORMATION}
        check_sequences(batch, self.config.image_shape, known=known, minimum_frames=2)
        if TRANSFORMATION in batch:
            count, frames = batch[IMAGES].shape[:2]
            constant = self.config.dynamics == "constant"
            shape = (count,) if constant else (count, frames - 1)
            check_elements(batch[TRANSFORMATION], shape, self.group.orders)

"""Entropy-ordered flows: invertible, with latents that explain one direction of the data each.

Galperin and Köthe, "From Core to Detail: Unsupervised Disentanglement with Entropy-Ordered Flows",
2026, arXiv:2602.06940. That the total correlation of a decoder vanishes where its Jacobian has
orthogonal columns is also the principle of independent mechanism analysis (Gresele et al., 2021,
arXiv:2106.05200).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .config import AbstractConfig
from .data_checks import check_levels, check_points
from .distributions import Rounded, Unrounded
from .flows import (
    AffineCoupling,
    FlowTransform,
    Permutation,
    PrincipalSubspace,
    Pyramid,
    Rotation,
    SplineCoupling,
    Units,
)
from .flows.total_correlation import total_correlation
from .ordered_latents import AbstractOrderedLatents
from .penalty import penalise

__all__ = ["DATUM", "LATENT", "EntropyOrderedFlow", "X"]

DATUM = "datum"
LATENT = "z"
X = "x"
_AXES = {1: ("feature",), 2: ("row", "column"), 3: ("channel", "row", "column")}


class EntropyOrderedFlow(AbstractOrderedLatents):
    """Data as an invertible function of as many latents, each of which explains its own direction.

    For each datum:

        z  ~ Normal(0, I)                D latents, as many as features
        x  ~ Normal(g(z), noise)         g is invertible

    The guide takes x, adds noise and reads z off it, so that the densities of the noise cancel: the
    ELBO is the log-density of noisy data under the flow, exact maximum likelihood with augmented
    data. With `noise=0` the flow itself is the density of x, and there is no latent site. With
    `bits`, x is g(z) rounded to the grey levels of an image, the noise is uniform, and the ELBO
    bounds the log-probability of the image, from which bits per dimension follow (Theis, van den
    Oord, Bethge, "A note on the evaluation of generative models", 2016, arXiv:1511.01844).

    A likelihood cannot tell how latents are rotated. The penalty can: the total correlation of the
    decoder, `sum_i log ||J_i|| - log |det J|` with J_i the columns of its Jacobian, is zero where
    these are orthogonal. Then the entropy of the data is a sum over latents of *explained
    entropies* `H_i = E[z_i^2 / 2 + log ||J_i||] + log(2 pi) / 2`, in nats: what eigenvalues are to
    principal components. Latents of a core, those that explain most, can be kept and all others
    set to zero; how many is chosen after training. In training the penalty is a factor of each
    datum, see `penalise`: SVI with any ELBO of Pyro pays for it, and ours keeps the true ELBO
    beside it. In evaluation mode there is none.

    Images may be modelled over scales (`levels`, see `Pyramid`). Latents of all scales are one
    vector: the penalty is about all of them, their order too, and a core takes the most telling of
    whatever scale. Only latents of the coarsest image can be turned into any directions of it,
    those of details within each pixel.

    With hundreds of features most directions hold little but noise. `principal` leaves all but the
    leading principal directions of the data as they are, at the cost of what is curved in the
    others; `initialise` finds them, and then the flow starts as principal components and can only
    gain.

    Explained entropies depend on the units of the data, as variances do, and count the noise:
    `noise_floor` is what a latent explains that explains noise alone.

    Example:
        >>> from mutoscope.zoo import EntropyOrderedFlow
        >>> model = EntropyOrderedFlow(EntropyOrderedFlow.Config(image_shape=(6,)))
        >>> model.sample(3, core=2, seed=0).shape
        torch.Size([3, 6])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            image_shape: Shape of a datum: channels, height and width, or just (features,).
            noise: Standard deviation of the noise that is added to the data, in their units. 0 adds
                none, which data of a few values or with constant features do not allow.
            bits: Data are images in [0, 1] with so many bits, 8 for most: uniform noise of their
                step takes the place of `noise`. None: data are any numbers.
            total_correlation: Weight of the total correlation; 0 leaves it out.
            estimator: "columns" estimates it from one column of the decoder's Jacobian for each
                datum; "rows" takes one row of the encoder's, which has the same zeros and costs
                half; "probes" estimates all columns from four random vectors, which costs more
                and is far less noisy with thousands of features; "dense" takes all columns, for few
                features.
            coupling: Kind of the layers.
            couplings: Number of layers that see all features, or all of the coarsest image.
            hidden_dim: Width of the two hidden layers of each.
            clamp: Bound of the logarithms of scales in affine layers.
            bins: Number of bins in spline layers.
            principal: How many leading principal directions of the data the layers see, see
                `initialise`; 0: they see all features.
            levels: How often images are halved, for a flow over scales; 0 is a flow of vectors.
            steps: Steps on each of these scales, of two convolutional couplings each.
            filters: Channels within these couplings.
            location: Of all features together; about the mean is best.
            scale: Of all features together; about the standard deviation is best.
        """

        image_shape: tuple[int, ...]
        noise: float = 0.1
        bits: int | None = None
        total_correlation: float = 1.0
        estimator: Literal["rows", "columns", "probes", "dense"] = "rows"
        coupling: Literal["affine", "spline"] = "affine"
        couplings: int = 8
        hidden_dim: int = 128
        clamp: float = 2.0
        bins: int = 8
        principal: int = 0
        levels: int = 0
        steps: int = 2
        filters: int = 32
        location: float = 0.5
        scale: float = 0.4

        def check(self) -> None:
            """Refuse sizes below one, a single feature and numbers that are no widths."""
            shape = self.image_shape
            fits = len(shape) in _AXES and all(n >= 1 for n in shape)
            self.require(fits, "image_shape", "one to three positive sizes")
            self.require(
                math.prod(shape) >= 2,
                "image_shape",
                "at least two features: one has no direction to be told from another",
            )
            for name in ("couplings", "hidden_dim", "bins", "steps", "filters"):
                self.require(getattr(self, name) >= 1, name, "at least 1")
            self.require(self.bits is None or 1 <= self.bits <= 16, "bits", "1 to 16, or None")
            self.require(self.levels >= 0, "levels", "zero or positive")
            fits = self.principal == 0 or 2 <= self.principal < self.dim
            self.require(fits, "principal", "0, or 2 to one less than the number of features")
            self.require(not (self.principal and self.levels), "principal", "0 with levels")
            if self.levels:
                coarse = Pyramid.coarse_dim(shape, self.levels)
                self.require(coarse >= 2, "levels", "fewer: the coarsest image has one number")
            for name in ("noise", "total_correlation"):
                self.require(getattr(self, name) >= 0, name, "zero or positive")
            for name in ("clamp", "scale"):
                self.require(getattr(self, name) > 0, name, "positive")

        @property
        def dim(self) -> int:
            """Number of features."""
            return math.prod(self.image_shape)

        @property
        def step(self) -> float:
            """Between two values of data that have `bits`."""
            return 1 / (2 ** (self.bits or 0) - 1) if self.bits else 0.0

    def __init__(self, config: Config) -> None:
        layers = [*_layers(config), Units(config.dim, config.location, config.scale)]
        spread = config.step / math.sqrt(12) if config.bits else config.noise
        super().__init__(FlowTransform(layers), config.image_shape, spread)
        self.config = config

    @property
    def direct(self) -> bool:
        """Whether the flow itself is the density of x, so that there is no latent site."""
        return self.spread == 0

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        own = {X: (DATUM, *_AXES[len(self.image_shape)])}
        return own if self.direct else {LATENT: (DATUM, "latent"), **own}

    def likelihood(
        self, latent: Float[Tensor, "*batch latent"], noise: float | None = None
    ) -> TorchDistribution:
        """Return p(x | z), or what it is with other noise."""
        decoded, axes = self.decoded(latent), len(self.image_shape)
        if self.config.bits and noise is None:
            return Rounded(decoded, self.config.step, axes)
        scale = self.zero + (self.config.noise if noise is None else noise)
        return Normal(decoded, scale).to_event(axes)

    def noise_around(self, data: Float[Tensor, "*batch feature"]) -> TorchDistribution:
        """Return the distribution of data with the noise of training added."""
        if self.config.bits:
            return Unrounded(data, self.config.step)
        return Normal(data, self.zero + self.config.noise).to_event(1)

    def noisy(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return data with the noise of training added."""
        if self.direct:
            return x
        found: Tensor = self.noise_around(self.flattened(x)).sample()
        return found.reshape(x.shape)

    @property
    def starting_data(self) -> int:
        """About how many data `initialise` should be given."""
        return 20 * self.dim if self.config.principal else 256

    @torch.no_grad()
    def initialise(self, x: Float[Tensor, "datum ..."]) -> None:
        """Let the flow start from some data, before it is trained.

        With `principal` it starts as their principal components. Channels of a flow over scales
        start in the units of the data. Other flows of vectors have no such layers.

        Raises:
            DataError: A channel is the same in all pixels of all data, or there are too few data.
        """
        self.flow.initialise(self.flattened(self.noisy(x)))
        if (known := self._known_norms()) is not None:
            self.entropy[self.config.principal :] = known + (1 + math.log(2 * math.pi)) / 2

    def _known_norms(self) -> Float[Tensor, " latent"] | None:
        """Return log ||J_i|| of the latents that no layer but a linear one sees."""
        if not self.config.principal:
            return None
        subspace, units = cast(tuple[PrincipalSubspace, Units], tuple(self.flow.layers))
        return subspace.log_scale[subspace.count :] + units.scale.log()

    def forward(self, x: Float[Tensor, "..."] | None = None, *, size: int | None = None) -> Tensor:
        """Run the generative story.

        Args:
            x: Observed data; None simulates.
            size: Number of data of the whole set (without data: number to simulate).
        """
        count = (size or 1) if x is None else x.shape[-1 - len(self.image_shape)]
        with pyro.plate(DATUM, size or count, subsample=torch.arange(count), dim=-1):
            if self.direct:
                self._regularise(None if x is None else self._encoded_with_graph(x))
                return pyro.sample(X, self.density(), obs=x)
            latent = pyro.sample(LATENT, self.prior())
            self._regularise(None if x is None else latent)
            return pyro.sample(X, self.likelihood(latent), obs=x)

    def _regularise(self, latent: Tensor | None) -> None:
        weight = self.config.total_correlation
        if self.training and weight > 0 and latent is not None:
            penalise("total_correlation", weight * self.total_correlation(latent))

    def _encoded_with_graph(self, x: Tensor) -> Tensor:
        data = self.flattened(x).detach()
        latent: Tensor = self.flow.inv(data.requires_grad_(not data.is_inference()))
        return latent

    def total_correlation(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        """Return the configured estimate of the total correlation at each of these latents.

        It draws which latent each datum looks at. In training, explained entropies are kept up to
        date by the way; those of "rows" are too low as long as the total correlation is not small.
        """
        known = self._known_norms()
        found = total_correlation(self.flow, latent, self.config.estimator, known)
        if self.training and torch.is_grad_enabled():
            self.remember(latent, found.log_norm, found.seen)
        return found.value

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are data that the model can be fitted to."""
        check_points(batch, X, self.image_shape, continuous=self.direct)
        if self.config.bits:
            check_levels(batch[X], self.config.bits, X)


def _layers(config: EntropyOrderedFlow.Config) -> list[nn.Module]:
    """Return the layers from latents to data in units of their own."""
    if config.principal:
        layers = _of_vectors(config, config.principal)
        return [PrincipalSubspace(config.dim, config.principal, layers)]
    if config.levels == 0:
        return _of_vectors(config, config.dim)
    channels, height, width = config.image_shape
    shape = channels, height, width
    coarsest = _of_vectors(config, Pyramid.coarse_dim(shape, config.levels))
    return [
        Pyramid(
            shape,
            config.levels,
            coarsest,
            steps=config.steps,
            filters=config.filters,
            clamp=config.clamp,
        )
    ]


def _of_vectors(config: EntropyOrderedFlow.Config, dim: int) -> list[nn.Module]:
    """Return couplings that see all features, between two rotations."""
    sizes = (config.hidden_dim,) * 2
    layers: list[nn.Module] = [Rotation(dim)]
    for _ in range(config.couplings):
        if config.coupling == "spline":
            layers += [SplineCoupling(dim, sizes, bins=config.bins)]
        else:
            layers += [AffineCoupling(dim, sizes, clamp=config.clamp)]
        layers += [Permutation(dim)]
    return [*layers, Rotation(dim)]

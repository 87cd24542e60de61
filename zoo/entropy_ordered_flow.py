"""Entropy-ordered flows: invertible, with latents that explain one direction of the data each.

Galperin and Köthe, "From Core to Detail: Unsupervised Disentanglement with Entropy-Ordered Flows",
2026, arXiv:2602.06940. That the total correlation of a decoder vanishes where its Jacobian has
orthogonal columns is also the principle of independent mechanism analysis (Gresele et al., 2021,
arXiv:2106.05200).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution, TransformedDistribution
from torch import Tensor, nn
from torch.distributions.transforms import ReshapeTransform

from .config import AbstractConfig
from .data_checks import check_points
from .errors import ConfigError
from .flow_core import FlowCore
from .flows import AffineCoupling, FlowTransform, Permutation, Rotation, SplineCoupling, Units
from .flows.jacobian import columns, log_column_norm, log_row_norm, one_hot, spread_over

__all__ = ["DATUM", "LATENT", "EntropyOrderedFlow", "X"]

DATUM = "datum"
LATENT = "z"
X = "x"
_AXES = {1: ("feature",), 2: ("row", "column"), 3: ("channel", "row", "column")}
_MEMORY = 0.05  # share of a step in the running entropies
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class EntropyOrderedFlow(nn.Module):
    """Data as an invertible function of as many latents, each of which explains its own direction.

    For each datum:

        z  ~ Normal(0, I)                D latents, as many as features
        x  ~ Normal(g(z), noise)         g is invertible

    The guide takes x, adds noise and reads z off it, so that the densities of the noise cancel: the
    ELBO is the log-density of noisy data under the flow, exact maximum likelihood with augmented
    data. With `noise=0` the flow itself is the density of x, and there is no latent site.

    A likelihood cannot tell how latents are rotated. The penalty can: the total correlation of the
    decoder, `sum_i log ||J_i|| - log |det J|` with J_i the columns of its Jacobian, is zero where
    these are orthogonal. Then the entropy of the data is a sum over latents of *explained
    entropies* `H_i = E[z_i^2 / 2 + log ||J_i||] + log(2 pi) / 2`, in nats: what eigenvalues are to
    principal components. Latents of a core, those that explain most, can be kept and all others
    set to zero; how many is chosen after training.

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
            total_correlation: Weight of the total correlation; 0 leaves it out.
            estimator: "columns" estimates it from one column of the decoder's Jacobian for each
                datum; "rows" takes one row of the encoder's, which has the same zeros and costs
                half; "dense" takes all columns, for few features.
            coupling: Kind of the layers.
            couplings: Number of layers.
            hidden_dim: Width of the two hidden layers of each.
            clamp: Bound of the logarithms of scales in affine layers.
            bins: Number of bins in spline layers.
            location: Of all features together; about the mean is best.
            scale: Of all features together; about the standard deviation is best.
        """

        image_shape: tuple[int, ...]
        noise: float = 0.1
        total_correlation: float = 1.0
        estimator: Literal["rows", "columns", "dense"] = "rows"
        coupling: Literal["affine", "spline"] = "affine"
        couplings: int = 8
        hidden_dim: int = 128
        clamp: float = 2.0
        bins: int = 8
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
            for name in ("couplings", "hidden_dim", "bins"):
                self.require(getattr(self, name) >= 1, name, "at least 1")
            for name in ("noise", "total_correlation"):
                self.require(getattr(self, name) >= 0, name, "zero or positive")
            for name in ("clamp", "scale"):
                self.require(getattr(self, name) > 0, name, "positive")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.dim = math.prod(config.image_shape)
        layers: list[nn.Module] = [Rotation(self.dim)]
        for _ in range(config.couplings):
            layers += [self._coupling(), Permutation(self.dim)]
        layers += [Rotation(self.dim), Units(self.dim, config.location, config.scale)]
        self.flow = FlowTransform(layers)
        self.register_buffer("zero", torch.zeros(()))
        self.register_buffer("entropy", torch.zeros(self.dim))

    zero: Tensor
    entropy: Tensor

    def _coupling(self) -> nn.Module:
        config = self.config
        sizes = (config.hidden_dim,) * 2
        if config.coupling == "spline":
            return SplineCoupling(self.dim, sizes, bins=config.bins)
        return AffineCoupling(self.dim, sizes, clamp=config.clamp)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        own = {X: (DATUM, *_AXES[len(self.config.image_shape)])}
        return own if self.config.noise == 0 else {LATENT: (DATUM, "latent"), **own}

    @property
    def order(self) -> Int[Tensor, " latent"]:
        """Latents by explained entropy, the most first."""
        return self.entropy.argsort(descending=True, stable=True)

    def prior(self, count: int | None = None) -> TorchDistribution:
        """Return p(z), of all latents or of `count` of them."""
        one = torch.ones_like(self.zero)
        return Normal(self.zero, one).expand([count or self.dim]).to_event(1)

    def decoded(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "..."]:
        """Return g(z), shaped as data."""
        data: Tensor = self.flow(latent)
        return data.unflatten(-1, self.config.image_shape)

    def flattened(self, x: Float[Tensor, "..."]) -> Float[Tensor, "*batch feature"]:
        """Return data as vectors."""
        return x.flatten(-len(self.config.image_shape))

    def likelihood(
        self, latent: Float[Tensor, "*batch latent"], noise: float | None = None
    ) -> TorchDistribution:
        """Return p(x | z)."""
        scale = self.zero + (self.config.noise if noise is None else noise)
        return Normal(self.decoded(latent), scale).to_event(len(self.config.image_shape))

    def density(self) -> TorchDistribution:
        """Return the flow's own density of data, without noise on top."""
        shaped = ReshapeTransform(torch.Size([self.dim]), torch.Size(self.config.image_shape))
        return TransformedDistribution(self.prior(), [self.flow, shaped])

    def forward(self, x: Float[Tensor, "..."] | None = None, *, size: int | None = None) -> Tensor:
        """Run the generative story.

        Args:
            x: Observed data; None simulates.
            size: Number of data of the whole set (without data: number to simulate).
        """
        count = (size or 1) if x is None else x.shape[-1 - len(self.config.image_shape)]
        with pyro.plate(DATUM, size or count, subsample=torch.arange(count), dim=-1):
            if self.config.noise == 0:
                return pyro.sample(X, self.density(), obs=x)
            latent = pyro.sample(LATENT, self.prior())
            return pyro.sample(X, self.likelihood(latent), obs=x)

    def penalties(
        self, values: Mapping[str, Tensor], guide_log_prob: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, "..."]]:
        """Return the weighted total correlation of each datum, which is no part of the ELBO.

        Args:
            values: The value of each site, drawn by the guide or observed.
            guide_log_prob: Not needed.
        """
        weight = self.config.total_correlation
        if weight == 0:
            return {}
        latent = values[LATENT] if LATENT in values else self._encoded_with_graph(values[X])
        return {"total_correlation": weight * self.total_correlation(latent)}

    def _encoded_with_graph(self, x: Tensor) -> Tensor:
        data = self.flattened(x).detach()
        latent: Tensor = self.flow.inv(data.requires_grad_(not data.is_inference()))
        return latent

    def total_correlation(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        """Return the configured estimate of the total correlation at each of these latents.

        It draws which latent each datum looks at. In training, explained entropies are kept up to
        date by the way; those of "rows" are too low as long as the total correlation is not small.
        """
        log_det = self.flow.log_abs_det_jacobian(latent, self.flow(latent))
        if self.config.estimator == "dense":
            flat = latent.reshape(-1, self.dim)
            log_norms = torch.linalg.vector_norm(columns(self.flow, flat), dim=-2).log()
            self._remember(flat, log_norms, torch.ones_like(log_norms))
            return log_norms.sum(-1).reshape(log_det.shape) - log_det
        index = spread_over(latent)
        if self.config.estimator == "rows":
            log_norm = log_row_norm(self.flow, latent, index)
            found, sign = self.dim * log_norm + log_det, -1.0
        else:
            log_norm = log_column_norm(self.flow, latent, index)
            found, sign = self.dim * log_norm - log_det, 1.0
        seen = one_hot(index, latent)
        self._remember(latent, sign * log_norm.unsqueeze(-1), seen)
        return found

    def _remember(self, latent: Tensor, log_norm: Tensor, seen: Tensor) -> None:
        """Move the running entropies of the latents that were looked at."""
        if not (self.training and torch.is_grad_enabled()):
            return
        with torch.no_grad():
            each = seen.reshape(-1, self.dim)
            weight, total = each.sum(0), (seen * log_norm).reshape(-1, self.dim).sum(0)
            energy = latent.reshape(-1, self.dim).square().mean(0) / 2
            now = energy + total / weight.clamp(min=1) + _HALF_LOG_TAU
            step = _MEMORY * (weight > 0).to(now)
            self.entropy.add_(step * (now - self.entropy))

    @torch.no_grad()
    def measure(self, x: Float[Tensor, "datum ..."]) -> Float[Tensor, " latent"]:
        """Compute the explained entropies exactly on these data, keep them, and return them.

        Costs D passes; some hundred data are enough.

        Args:
            x: Data, without the noise of training: give `x + noise * randn` to count it.
        """
        latent, _ = self.flow.encode(self.flattened(x))
        norms = torch.linalg.vector_norm(columns(self.flow, latent), dim=-2)
        found = latent.square() / 2 + norms.log() + _HALF_LOG_TAU
        self.entropy.copy_(found.mean(0))
        return self.entropy.clone()

    def noise_floor(self, noise: float | None = None) -> float:
        """Return the entropy in nats of one direction that holds noise alone.

        Args:
            noise: Its standard deviation; None takes that of training.
        """
        return _HALF_LOG_TAU + 0.5 + math.log(self.config.noise if noise is None else noise)

    def core_above(self, entropy: float) -> int:
        """Return how many latents explain more than so many nats, but at least one."""
        return max(1, int((self.entropy > entropy).sum()))

    def checked_core(self, core: int) -> int:
        """Return the size of a core.

        Raises:
            ConfigError: It is below 1 or above the number of latents.
        """
        if not 1 <= core <= self.dim:
            raise ConfigError(
                f"Found a core of {core} latents; this flow has {self.dim}. Give 1 to {self.dim}."
            )
        return core

    def core_model(self, core: int, *, noise: float | None = None) -> FlowCore:
        """Return the latent variable model of the `core` latents that explain most.

        Args:
            core: How many; see `core_above`.
            noise: What the core leaves over, as a standard deviation; None takes that of training.
        """
        return FlowCore(
            self, self.checked_core(core), self.config.noise if noise is None else noise
        )

    def compress(self, x: Float[Tensor, "..."], core: int) -> Float[Tensor, "*batch core"]:
        """Return the `core` latents that explain most, in order."""
        latent, _ = self.flow.encode(self.flattened(x))
        return latent[..., self.order[: self.checked_core(core)]]

    def core_columns(self, x: Float[Tensor, "datum ..."], core: int) -> Float[Tensor, "..."]:
        """Return columns of the decoder, `(datum, feature, latent)`, those of the core in order."""
        latent, _ = self.flow.encode(self.flattened(x))
        return columns(self.flow, latent, self.order[: self.checked_core(core)])

    def completed(self, code: Float[Tensor, "*batch core"]) -> Float[Tensor, "*batch latent"]:
        """Return all latents, those outside of the core at zero."""
        kept = self.order[: self.checked_core(code.shape[-1])]
        return code.new_zeros(*code.shape[:-1], self.dim).index_copy(-1, kept, code)

    def decompress(self, code: Float[Tensor, "*batch core"]) -> Float[Tensor, "..."]:
        """Return the data that a code stands for; its length is the size of the core."""
        data, _ = self.flow.decode(self.completed(code))
        return data.unflatten(-1, self.config.image_shape)

    def denoise(
        self, x: Float[Tensor, "..."], noise: float, core: int | Literal["auto"] = "auto"
    ) -> Float[Tensor, "..."]:
        """Return data projected to the core.

        Args:
            x: Noisy data.
            noise: Standard deviation of their noise.
            core: Size of the core; "auto" keeps latents that explain more than this noise and that
                of training together do.
        """
        if core == "auto":
            core = self.core_above(self.noise_floor(math.hypot(noise, self.config.noise)))
        return self.decompress(self.compress(x, core))

    @torch.no_grad()
    def sample(
        self, count: int, core: int | None = None, *, seed: int
    ) -> Float[Tensor, "datum ..."]:
        """Return data without noise, drawn from the core (None: from all latents)."""
        generator = torch.Generator(self.zero.device).manual_seed(seed)
        size = self.dim if core is None else self.checked_core(core)
        code = torch.randn(
            count, size, generator=generator, device=self.zero.device, dtype=self.zero.dtype
        )
        return self.decompress(code)

    def log_prob(
        self, x: Float[Tensor, "datum ..."], core: int | None = None
    ) -> Float[Tensor, " datum"]:
        """Return log-densities in nats.

        Args:
            x: Data, at which the flow's density is taken; noise is for the caller to add.
            core: None gives the density of the data; else that of their projections, on the
                manifold of the core, with respect to its own volume.
        """
        if core is None:
            log_prob: Tensor = self.density().log_prob(x)
            return log_prob
        code = self.compress(x, core)
        spanned = columns(self.flow, self.completed(code), self.order[:core])
        volume = torch.linalg.slogdet(spanned.mT @ spanned)[1] / 2
        return self.prior(core).log_prob(code) - volume

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are data that the model can be fitted to."""
        check_points(batch, X, self.config.image_shape, continuous=self.config.noise == 0)

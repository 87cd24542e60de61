"""Flows whose latents are ordered by what they explain, read with as many of them as is wished."""

import abc
import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution, TransformedDistribution
from torch import Tensor, nn
from torch.distributions.transforms import ReshapeTransform

from .errors import ConfigError, DataError
from .flow_core import FlowCore
from .flows import FlowTransform
from .flows.jacobian import columns, log_column_norms, probed_log_norms

__all__ = ["AbstractOrderedLatents"]

_MEMORY = 0.05  # share of a step in the running entropies
_TOGETHER = 64  # data whose graph is kept at once
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class AbstractOrderedLatents(nn.Module, abc.ABC):
    """A flow with the explained entropy of each latent, and a core chosen when it is used.

    Args:
        flow: From latents to data as vectors.
        image_shape: Shape of a datum.
        spread: Standard deviation of the noise that is added to the data in training.

    Attributes:
        entropy: Explained entropies in nats: running estimates, until `measure` computes them.
    """

    def __init__(self, flow: FlowTransform, image_shape: tuple[int, ...], spread: float) -> None:
        super().__init__()
        self.flow, self.image_shape, self.spread = flow, image_shape, spread
        self.dim = math.prod(image_shape)
        self.register_buffer("zero", torch.zeros(()))
        self.register_buffer("entropy", torch.zeros(self.dim))

    zero: Tensor
    entropy: Tensor

    @property
    @abc.abstractmethod
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order; those of `x` are those of the data."""

    @abc.abstractmethod
    def likelihood(
        self, latent: Float[Tensor, "*batch latent"], noise: float | None = None
    ) -> TorchDistribution:
        """Return p(x | z), or what it is with other noise."""

    @abc.abstractmethod
    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are data that the model can be fitted to."""

    def prior(self, count: int | None = None) -> TorchDistribution:
        """Return p(z), of all latents or of `count` of them."""
        one = torch.ones_like(self.zero)
        return Normal(self.zero, one).expand([count or self.dim]).to_event(1)

    def decoded(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "..."]:
        """Return g(z), shaped as data."""
        data: Tensor = self.flow(latent)
        return data.unflatten(-1, self.image_shape)

    def flattened(self, x: Float[Tensor, "..."]) -> Float[Tensor, "*batch feature"]:
        """Return data as vectors.

        Raises:
            DataError: They have another shape.
        """
        axes = len(self.image_shape)
        if tuple(x.shape[-axes:]) != self.image_shape:
            raise DataError(
                f"Found data of shape {tuple(x.shape)}, but this flow is one of "
                f"{self.image_shape}, after any leading axes. Give it data of that shape."
            )
        return x.flatten(-axes)

    def encoded(
        self, x: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "*batch latent"], Float[Tensor, "*batch"]]:
        """Return all latents of data, in the order of the flow, and the log-determinant.

        Raises:
            DataError: They have another shape, or a number is not finite.
        """
        if bad := int((~x.isfinite()).sum()):
            raise DataError(f"Found {bad} numbers that are NaN or infinite. Repair these data.")
        return self.flow.encode(self.flattened(x))

    def density(self) -> TorchDistribution:
        """Return the flow's own density of data, without noise on top."""
        shaped = ReshapeTransform(torch.Size([self.dim]), torch.Size(self.image_shape))
        return TransformedDistribution(self.prior(), [self.flow, shaped])

    @torch.no_grad()
    def remember(
        self,
        latent: Float[Tensor, "*batch latent"],
        log_norm: Float[Tensor, "*batch #latent"],
        seen: Float[Tensor, "*batch latent"],
    ) -> None:
        """Move the running entropies of the latents that were looked at.

        Args:
            latent: Latents of some data.
            log_norm: The logarithm of the norm of their columns.
            seen: 1 at each latent that was looked at, 0 at all others.
        """
        each = seen.reshape(-1, self.dim)
        weight, total = each.sum(0), (seen * log_norm).reshape(-1, self.dim).sum(0)
        energy = latent.reshape(-1, self.dim).square().mean(0) / 2
        now = energy + total / weight.clamp(min=1) + _HALF_LOG_TAU
        step = _MEMORY * (weight > 0).to(now)
        self.entropy.add_(step * (now - self.entropy))

    @torch.no_grad()
    def measure(
        self, x: Float[Tensor, "datum ..."], *, probes: int = 0
    ) -> Float[Tensor, " latent"]:
        """Compute the explained entropies on these data, keep them, and return them.

        Args:
            x: Data, without the noise of training: give `x + noise * randn` to count it.
            probes: 0 is exact and costs D passes; some hundred data are enough. Else so many
                passes estimate all D of them, see `probed_log_norms`.
        """
        latent, _ = self.encoded(x)
        if probes:
            parts = latent.split(_TOGETHER)
            log_norms = torch.cat([probed_log_norms(self.flow, part, probes) for part in parts])
        else:
            log_norms = log_column_norms(self.flow, latent)
        found = latent.square() / 2 + log_norms + _HALF_LOG_TAU
        self.entropy.copy_(found.mean(0))
        return self.entropy.clone()

    @property
    def order(self) -> Int[Tensor, " latent"]:
        """Latents by explained entropy, the most first."""
        return self.entropy.argsort(descending=True, stable=True)

    def noise_floor(self, noise: float | None = None) -> float:
        """Return the entropy in nats of one direction that holds noise alone.

        Args:
            noise: Its standard deviation; None takes that of training.
        """
        deviation = self.spread if noise is None else noise
        return _HALF_LOG_TAU + 0.5 + math.log(deviation) if deviation else -math.inf

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
        return FlowCore(self, self.checked_core(core), self.spread if noise is None else noise)

    def compress(self, x: Float[Tensor, "..."], core: int) -> Float[Tensor, "*batch core"]:
        """Return the `core` latents that explain most, in order."""
        latent, _ = self.encoded(x)
        return latent[..., self.order[: self.checked_core(core)]]

    def core_columns(self, x: Float[Tensor, "datum ..."], core: int) -> Float[Tensor, "..."]:
        """Return columns of the decoder, `(datum, feature, latent)`, those of the core in order."""
        latent, _ = self.encoded(x)
        return columns(self.flow, latent, self.order[: self.checked_core(core)])

    def completed(self, code: Float[Tensor, "*batch core"]) -> Float[Tensor, "*batch latent"]:
        """Return all latents, those outside of the core at zero."""
        kept = self.order[: self.checked_core(code.shape[-1])]
        return code.new_zeros(*code.shape[:-1], self.dim).index_copy(-1, kept, code)

    def decompress(self, code: Float[Tensor, "*batch core"]) -> Float[Tensor, "..."]:
        """Return the data that a code stands for; its length is the size of the core."""
        data, _ = self.flow.decode(self.completed(code))
        return data.unflatten(-1, self.image_shape)

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
            core = self.core_above(self.noise_floor(math.hypot(noise, self.spread)))
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
            latent, log_det = self.encoded(x)
            return self.prior().log_prob(latent) + log_det
        code = self.compress(x, core)
        spanned = columns(self.flow, self.completed(code), self.order[:core])
        volume = torch.linalg.slogdet(spanned.mT @ spanned)[1] / 2
        return self.prior(core).log_prob(code) - volume

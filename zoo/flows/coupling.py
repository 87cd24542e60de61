"""Couplings: some of the features are moved by what a network reads off the others."""

import abc
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import ConfigError
from ..nets import PixelNet, mlp
from .spline import apply_spline, invert_spline, numbers_of

__all__ = ["AffineCoupling", "SplineCoupling"]


class _AbstractCoupling(nn.Module, abc.ABC):
    """A coupling whose network starts at zero, so that the layer starts as the identity.

    Args:
        dim: Number of features, at least two.
        numbers: How many numbers the network gives for each feature that is moved.
        hidden_dims: Widths of the network's hidden layers.
        kept: How many features, the first ones, are only read; None: half, rounded down.
        kernel: Width of convolutions, for features of pixels; None reads each vector by itself.
    """

    def __init__(
        self,
        dim: int,
        numbers: int,
        hidden_dims: Sequence[int],
        *,
        kept: int | None = None,
        kernel: int | None = None,
    ) -> None:
        super().__init__()
        if dim < 2:
            raise ConfigError(f"A coupling of {dim} features has no two halves. Give at least 2.")
        self.kept = dim // 2 if kept is None else kept
        if not 1 <= self.kept < dim:
            raise ConfigError(f"Found kept={kept} of {dim} features. Give 1 to {dim - 1}.")
        self.moved = dim - self.kept
        sizes = [self.kept, *hidden_dims, self.moved * numbers]
        self.net = mlp(sizes, nn.ReLU) if kernel is None else PixelNet(sizes, kernel)
        last = self.net[-1]
        nn.init.zeros_(last.get_parameter("weight"))
        nn.init.zeros_(last.get_parameter("bias"))

    def forward(
        self, latent: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, "*batch"]]:
        """Return data and log-determinant."""
        kept, moved = latent.split([self.kept, self.moved], -1)
        value, log_slope = self._decode(moved, self._free(kept))
        return torch.cat([kept, value], -1), log_slope.sum(-1)

    def inverse(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, "*batch"]]:
        """Return latents and log-determinant."""
        kept, moved = data.split([self.kept, self.moved], -1)
        value, log_slope = self._encode(moved, self._free(kept))
        return torch.cat([kept, value], -1), log_slope.sum(-1)

    def _free(self, kept: Tensor) -> Tensor:
        free: Tensor = self.net(kept)
        return free.unflatten(-1, (self.moved, -1))

    @abc.abstractmethod
    def _decode(self, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Return values on the side of the data, and logarithms of slopes."""

    @abc.abstractmethod
    def _encode(self, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Return values on the side of the latents, and logarithms of slopes."""


class AffineCoupling(_AbstractCoupling):
    """Scales and shifts: `data = latent * exp(s) + t`, where s stays softly within `clamp`.

    Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, arXiv:1605.08803. The
    soft clamp keeps every layer's scales, and hence rounding errors of the inverse, bounded.

    Args:
        dim: Number of features.
        hidden_dims: Widths of the network's hidden layers.
        clamp: Bound of the logarithm of scales.
        kept: How many features, the first ones, are only read; None: half, rounded down.
        kernel: Width of convolutions, for features of pixels; None reads each vector by itself.
    """

    def __init__(
        self,
        dim: int,
        hidden_dims: Sequence[int] = (128, 128),
        *,
        clamp: float = 2.0,
        kept: int | None = None,
        kernel: int | None = None,
    ) -> None:
        super().__init__(dim, 2, hidden_dims, kept=kept, kernel=kernel)
        self.clamp = clamp

    def _decode(self, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._parts(free)
        return moved * log_scale.exp() + shift, log_scale

    def _encode(self, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._parts(free)
        return (moved - shift) * (-log_scale).exp(), -log_scale

    def _parts(self, free: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = free.unbind(-1)
        return shift, self.clamp * torch.tanh(log_scale / self.clamp)


class SplineCoupling(_AbstractCoupling):
    """Monotonic rational-quadratic splines between latents and data, see `spline`.

    Encoding data is the cheap direction; decoding solves a quadratic equation for each number.

    Args:
        dim: Number of features.
        hidden_dims: Widths of the network's hidden layers.
        bins: Number of bins of each spline.
        bound: Splines reach from minus this to this; outside, the layer is the identity.
        kept: How many features, the first ones, are only read; None: half, rounded down.
        kernel: Width of convolutions, for features of pixels; None reads each vector by itself.
    """

    def __init__(
        self,
        dim: int,
        hidden_dims: Sequence[int] = (128, 128),
        *,
        bins: int = 8,
        bound: float = 5.0,
        kept: int | None = None,
        kernel: int | None = None,
    ) -> None:
        super().__init__(dim, numbers_of(bins), hidden_dims, kept=kept, kernel=kernel)
        self.bound = bound

    def _decode(self, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        return invert_spline(moved, free, bound=self.bound)

    def _encode(self, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        return apply_spline(moved, free, bound=self.bound)

"""Image likelihoods that sum over pixels in one fused operation.

`Normal(...).to_event(3)` computes the density of each pixel and then sums: measured at four to six
times the cost of these, which matters because it is the largest tensor of a training step.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.nn.functional import binary_cross_entropy_with_logits

from .shapes import Shape

__all__ = ["PixelBernoulli", "PixelNormal"]


class PixelBernoulli(TorchDistribution):
    """Independent Bernoulli pixels; grey values in [0, 1] score by their cross-entropy.

    Args:
        logits: Log-odds of each pixel.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "logits": constraints.independent(constraints.real, 3)
    }
    support = constraints.independent(constraints.unit_interval, 3)

    def __init__(
        self,
        logits: Float[Tensor, "*batch channel height width"],
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-3], logits.shape[-3:], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "PixelBernoulli":
        """Return the same distribution with more leading batch axes."""
        shape = torch.Size(batch_shape) + self.event_shape
        return PixelBernoulli(self.logits.expand(shape), validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "*batch channel height width"]:
        """Mean image."""
        return torch.sigmoid(self.logits)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw black-and-white images."""
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(torch.Size(sample_shape) + self.logits.shape))

    def log_prob(self, value: Float[Tensor, "... channel height width"]) -> Float[Tensor, "..."]:
        """Return the log-probability summed over pixels."""
        logits, value = torch.broadcast_tensors(self.logits, value)
        loss = binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -loss.flatten(-3).sum(-1)


class PixelNormal(TorchDistribution):
    """Independent Gaussian pixels with one standard deviation.

    Args:
        loc: Mean image.
        scale: Standard deviation of every pixel.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.independent(constraints.real, 3),
        "scale": constraints.positive,
    }
    support = constraints.independent(constraints.real, 3)
    has_rsample = True

    def __init__(
        self,
        loc: Float[Tensor, "*batch channel height width"],
        scale: Float[Tensor, ""],
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:-3], loc.shape[-3:], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "PixelNormal":
        """Return the same distribution with more leading batch axes."""
        shape = torch.Size(batch_shape) + self.event_shape
        return PixelNormal(self.loc.expand(shape), self.scale, validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "*batch channel height width"]:
        """Mean image."""
        return self.loc

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw noisy images."""
        shape = torch.Size(sample_shape) + self.loc.shape
        return self.loc + self.scale * torch.randn(
            shape, dtype=self.loc.dtype, device=self.loc.device
        )

    def log_prob(self, value: Float[Tensor, "... channel height width"]) -> Float[Tensor, "..."]:
        """Return the log-density summed over pixels."""
        pixels = self.event_shape.numel()
        squares = (value - self.loc).square().flatten(-3).sum(-1)
        constant = pixels * (torch.log(self.scale) + 0.5 * math.log(2 * math.pi))
        return -squares / (2 * self.scale.square()) - constant

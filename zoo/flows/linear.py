"""Linear layers: rotations that are learned, fixed permutations and units."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Permutation", "Rotation", "Units"]


class Rotation(nn.Module):
    """A learned rotation: `data = latent Q'`, where `Q = (I + A)^-1 (I - A)` and `A = W - W'`.

    By Cayley's map every `W` gives an orthogonal `Q`, so training needs no projection. It starts as
    the identity. Next to the latents it is what lets them turn until each explains a direction of
    its own: a likelihood cannot tell rotations of a standard normal apart.

    Args:
        dim: Number of features D; each call solves one D by D system.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim, dim))

    def matrix(self) -> Float[Tensor, "feature feature"]:
        """Return Q."""
        skew = self.weight - self.weight.T
        one = torch.eye(len(skew), dtype=skew.dtype, device=skew.device)
        # Never singular, so that nobody needs to look whether it was.
        solved, _ = torch.linalg.solve_ex(one + skew, one - skew)
        return solved

    def forward(
        self, latent: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return data, and zero."""
        return latent @ self.matrix().T, latent.new_zeros(())

    def inverse(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return latents, and zero."""
        return data @ self.matrix(), data.new_zeros(())


class Permutation(nn.Module):
    """A fixed order of features, drawn when it is made unless it is given.

    Args:
        dim: Number of features.
        order: Which latent each feature is.
    """

    def __init__(self, dim: int, order: Int[Tensor, " feature"] | None = None) -> None:
        super().__init__()
        order = torch.randperm(dim) if order is None else order
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    order: Tensor
    back: Tensor

    def forward(
        self, latent: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return data, and zero."""
        return latent.index_select(-1, self.order), latent.new_zeros(())

    def inverse(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return latents, and zero."""
        return data.index_select(-1, self.back), data.new_zeros(())


class Units(nn.Module):
    """Fixed units, the same for all features: `data = location + scale * latent`.

    Args:
        dim: Number of features.
        location: What becomes zero.
        scale: What becomes one.
    """

    def __init__(self, dim: int, location: float, scale: float) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("location", torch.tensor(location))
        self.register_buffer("scale", torch.tensor(scale))

    location: Tensor
    scale: Tensor

    def forward(
        self, latent: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return data and log-determinant."""
        return self.location + self.scale * latent, self.dim * self.scale.log()

    def inverse(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, ""]]:
        """Return latents and log-determinant."""
        return (data - self.location) / self.scale, -self.dim * self.scale.log()

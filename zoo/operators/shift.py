"""The shift operator: the regular representation of a group."""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ..errors import ConfigError
from ..finite_group import FiniteGroup
from .fourier import fourier_products, phase_correlation
from .operator import AbstractOperator

__all__ = ["ShiftOperator"]


class ShiftOperator(AbstractOperator):
    """Blocks of the latent, one for each element of the group, that change places.

    `(psi(k) z)_g = z_(k^-1 g)`: under a cyclic group blocks shift around a ring by k places. This
    is what a group does to pictures on which no element but the first fixes a pixel, up to a change
    of basis (Bouchacourt, Ibrahim and Deny 2021, arXiv:2102.05623).

    Args:
        group: The group.
        latent_dim: A multiple of the number of elements.

    Raises:
        ConfigError: It is not.
    """

    source: Tensor
    character: Tensor

    def __init__(self, group: FiniteGroup, latent_dim: int) -> None:
        super().__init__(group, latent_dim)
        size = len(group)
        if latent_dim < size or latent_dim % size:
            near = max(1, round(latent_dim / size)) * size
            raise ConfigError(
                f"Found latent_dim={latent_dim} for a shift of {size} equal blocks, one for each "
                f"element of the group; expected a multiple of {size}, such as {near}."
            )
        copies = latent_dim // size
        character = torch.arange(size, device="cpu").repeat_interleave(copies)
        tables = {"source": group.table[group.inverse], "character": character}
        for name, table in tables.items():
            self.register_buffer(name, table.to(torch.get_default_device()), persistent=False)

    def forward(
        self, latent: Float[Tensor, "*#batch latent"], element: Int[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch latent"]:
        """Return psi(element) latent."""
        blocks = latent.unflatten(-1, (len(self.group), -1))
        source = self.source[element].unsqueeze(-1)
        axes = max(blocks.ndim, source.ndim)
        blocks, source = (x[(None,) * (axes - x.ndim)] for x in (blocks, source))
        return torch.take_along_dim(blocks, source, -2).flatten(-2)

    def spectrum(
        self, latent: Float[Tensor, "*batch latent"]
    ) -> Complex[Tensor, "*batch character copy"]:
        """Return the Fourier transform over the blocks, in which psi(k) multiplies by phases."""
        orders = self.group.orders
        axes = tuple(range(-1 - len(orders), -1))
        blocks = latent.unflatten(-1, (*orders, -1))
        return torch.fft.ifftn(blocks, dim=axes, norm="ortho").flatten(axes[0], -2)

    def products(
        self, latent: Float[Tensor, "*batch latent"], rows: Float[Tensor, "row latent"]
    ) -> Float[Tensor, "*batch element row"]:
        """Return `rows psi(k) latent` for every element k."""
        if self.group.turning:
            return super().products(latent, rows)
        return fourier_products(self.spectrum(latent), self.spectrum(rows), self.group.orders)

    def correlation(
        self, first: Float[Tensor, "*#batch latent"], second: Float[Tensor, "*#batch latent"]
    ) -> Float[Tensor, "*batch element"]:
        """Return how well each element carries the first latent to the second, from -1 to 1.

        For groups in which order does not matter, the phase correlation.
        """
        if self.group.turning:
            return super().correlation(first, second)
        one, other = self.spectrum(first).flatten(-2), self.spectrum(second).flatten(-2)
        return phase_correlation(one, other, self.character, self.group.orders)

"""Operators that turn planes of the latent space: sums of chosen characters of a group."""

import math

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ..errors import ConfigError
from ..finite_group import FiniteGroup
from .fourier import fourier_products, phase_correlation
from .operator import AbstractOperator

__all__ = ["PhaseOperator", "complex_operator", "disentangled_operator", "planes_of"]


class PhaseOperator(AbstractOperator):
    """Turns the plane j of two neighbouring coordinates by 2 pi sum_i k_i f_ji / K_i.

    Which frequencies f the planes have is all that tells representations apart: `complex_operator`
    has them all, `disentangled_operator` one for each factor.

    Args:
        group: A group in which order does not matter.
        frequencies: Frequency of each plane in each factor.

    Raises:
        ConfigError: Order matters in the group.
    """

    turn: Tensor
    character: Tensor

    def __init__(self, group: FiniteGroup, frequencies: Int[Tensor, "plane factor"]) -> None:
        super().__init__(group, 2 * len(frequencies))
        if group.turning:
            raise ConfigError(
                "Found a group in which order matters; planes that turn by phases know none. Use "
                "operator='shift' or 'stacked'."
            )
        self.whole = math.lcm(*group.orders)
        step = torch.tensor([self.whole // order for order in group.orders], device="cpu")
        turn = (group.steps @ (frequencies * step).T) % self.whole
        copies = len(frequencies) // len(group)
        self.regular = torch.equal(frequencies, group.steps.repeat_interleave(copies, 0))
        tables = {"turn": turn, "character": group.index(frequencies)}
        for name, table in tables.items():
            self.register_buffer(name, table.to(torch.get_default_device()), persistent=False)

    def forward(
        self, latent: Float[Tensor, "*#batch latent"], element: Int[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch latent"]:
        """Return psi(element) latent."""
        angle = torch.arange(self.whole, device=latent.device).to(latent) * (
            2 * math.pi / self.whole
        )
        phase = torch.polar(torch.ones_like(angle), angle)[self.turn[element]]
        return torch.view_as_real(self.spectrum(latent) * phase).flatten(-2)

    def spectrum(self, latent: Float[Tensor, "*batch latent"]) -> Complex[Tensor, "*batch plane"]:
        """Return each plane as a complex number."""
        return torch.view_as_complex(latent.unflatten(-1, (-1, 2)))

    def products(
        self, latent: Float[Tensor, "*batch latent"], rows: Float[Tensor, "row latent"]
    ) -> Float[Tensor, "*batch element row"]:
        """Return `rows psi(k) latent` for every element k."""
        if not self.regular:
            return super().products(latent, rows)
        size = len(self.group)
        first, second = (self.spectrum(z).unflatten(-1, (size, -1)) for z in (latent, rows))
        return fourier_products(first, second, self.group.orders)

    def correlation(
        self, first: Float[Tensor, "*#batch latent"], second: Float[Tensor, "*#batch latent"]
    ) -> Float[Tensor, "*batch element"]:
        """Return the phase correlation: how well each element carries the first to the second."""
        return phase_correlation(
            self.spectrum(first), self.spectrum(second), self.character, self.group.orders
        )


def complex_operator(group: FiniteGroup, latent_dim: int) -> PhaseOperator:
    """Return the Fourier form of the shift: all frequencies of the group, equally often.

    Args:
        group: A group in which order does not matter.
        latent_dim: A multiple of twice the number of elements.

    Raises:
        ConfigError: It is not, or order matters in the group.
    """
    copies = planes_of(latent_dim, len(group)) // len(group)
    return PhaseOperator(group, group.steps.repeat_interleave(copies, 0))


def disentangled_operator(group: FiniteGroup, latent_dim: int) -> PhaseOperator:
    """Return the operator of disentanglement: a plane for each factor, and all else stays.

    It is the baseline that must fail: see `PhaseOperator` for what it lacks.

    Args:
        group: A group in which order does not matter.
        latent_dim: Even, with a plane for each factor at least.

    Raises:
        ConfigError: It is not, or order matters in the group.
    """
    factors = len(group.orders)
    planes = planes_of(latent_dim, 1, least=factors)
    return PhaseOperator(group, torch.eye(planes, factors, dtype=torch.long, device="cpu"))


def planes_of(latent_dim: int, multiple: int, *, least: int = 1) -> int:
    """Return the number of planes of two coordinates.

    Args:
        latent_dim: Number of coordinates.
        multiple: What the number of planes has to be a multiple of.
        least: Least number of planes.

    Raises:
        ConfigError: The coordinates make no such planes; the message says which numbers do.
    """
    if latent_dim % (2 * multiple) or latent_dim < 2 * least:
        near = max(1, round(latent_dim / (2 * multiple)), least) * 2 * multiple
        raise ConfigError(
            f"Found latent_dim={latent_dim}, but planes that turn by each frequency of the group "
            f"equally often need a multiple of {2 * multiple}, such as {near}."
        )
    return latent_dim // 2

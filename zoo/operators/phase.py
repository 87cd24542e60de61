"""Operators that turn planes of the latent space: sums of chosen characters of a group."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ..errors import ConfigError
from ..finite_group import FiniteGroup
from .operator import AbstractOperator

__all__ = ["PhaseOperator", "complex_operator", "disentangled_operator", "phase_correlation"]

_SMALLEST = 1e-12  # magnitude below which a Fourier coefficient has no phase


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

    def correlation(
        self, first: Float[Tensor, "*#batch latent"], second: Float[Tensor, "*#batch latent"]
    ) -> Float[Tensor, "*batch element"]:
        """Return the phase correlation: how well each element carries the first to the second."""
        return phase_correlation(
            self.spectrum(first), self.spectrum(second), self.character, self.group.orders
        )


def phase_correlation(
    first: Complex[Tensor, "*#batch plane"],
    second: Complex[Tensor, "*#batch plane"],
    character: Int[Tensor, " plane"],
    orders: Sequence[int],
) -> Float[Tensor, "*batch element"]:
    """Return the mean cosine of what is left of phases, for each element in between.

    Sums over elements and frequencies are one Fourier transform over the group.

    Args:
        first: Fourier coefficients.
        second: Those of something like the first, transformed.
        character: Number of the frequency of each, as that of the element of the same steps.
        orders: Of the group's factors.
    """
    cross = second * first.conj()
    cross = cross / cross.abs().clamp_min(_SMALLEST)
    count = math.prod(orders)
    total = cross.new_zeros(*cross.shape[:-1], count).index_add(-1, character, cross)
    axes = tuple(range(-len(orders), 0))
    found = torch.fft.fftn(total.unflatten(-1, tuple(orders)), dim=axes).real
    return found.flatten(-len(orders)) / len(character)


def complex_operator(group: FiniteGroup, latent_dim: int) -> PhaseOperator:
    """Return the Fourier form of the shift: planes take all frequencies of the group in turn.

    Args:
        group: A group in which order does not matter.
        latent_dim: Even; if it is no multiple of twice the number of elements, some frequencies
            have a plane less than others.
    """
    planes = torch.arange(_planes(latent_dim), device="cpu")
    return PhaseOperator(group, group.steps[planes % len(group)])


def disentangled_operator(group: FiniteGroup, latent_dim: int) -> PhaseOperator:
    """Return the operator of disentanglement: a plane for each factor, and all else stays.

    It is the baseline that must fail: see `PhaseOperator` for what it lacks.

    Args:
        group: A group in which order does not matter.
        latent_dim: Even, with a plane for each factor at least.
    """
    factors = len(group.orders)
    planes = _planes(latent_dim, least=factors)
    return PhaseOperator(group, torch.eye(planes, factors, dtype=torch.long, device="cpu"))


def _planes(latent_dim: int, least: int = 1) -> int:
    if latent_dim % 2 or latent_dim < 2 * least:
        raise ConfigError(
            f"Found latent_dim={latent_dim}, but the planes of this operator take two coordinates "
            f"each: expected an even number, {2 * least} or more."
        )
    return latent_dim // 2

"""Sums over all elements of a group in which order does not matter, by Fourier transforms."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

__all__ = ["fourier_products", "phase_correlation"]

_SMALLEST = 1e-12  # magnitude below which a Fourier coefficient has no phase


def phase_correlation(
    first: Complex[Tensor, "*#batch plane"],
    second: Complex[Tensor, "*#batch plane"],
    character: Int[Tensor, " plane"],
    orders: Sequence[int],
) -> Float[Tensor, "*batch element"]:
    """Return the mean cosine of what is left of phases, once each element has turned them.

    Args:
        first: Fourier coefficients.
        second: Those of something like the first, transformed.
        character: Number of the frequency of each, as that of the element of the same steps.
        orders: Of the group's factors.
    """
    cross = second * first.conj()
    cross = cross / cross.abs().clamp_min(_SMALLEST)
    total = cross.new_zeros(*cross.shape[:-1], math.prod(orders))
    total = total.index_add(-1, character, cross)
    axes = tuple(range(-len(orders), 0))
    found = torch.fft.fftn(total.unflatten(-1, tuple(orders)), dim=axes).real
    return found.flatten(-len(orders)) / len(character)


def fourier_products(
    latent: Complex[Tensor, "*batch character copy"],
    rows: Complex[Tensor, "row character copy"],
    orders: Sequence[int],
) -> Float[Tensor, "*batch element row"]:
    """Return the product of rows with a latent that each element has carried.

    Frequencies do not mix: what they contribute is multiplied once for all elements, and the
    elements' phases are a Fourier transform over the group.

    Args:
        latent: Fourier coefficients.
        rows: Those of the rows of a matrix.
        orders: Of the group's factors.
    """
    # Real products of real and imaginary parts, in which the rows stay as they lie in memory.
    flat = latent.reshape(-1, *latent.shape[-2:])
    both = torch.view_as_real(torch.cat([flat, -1j * flat])).flatten(-2).movedim(1, 0)
    real, imaginary = (both @ torch.view_as_real(rows).flatten(-2).permute(1, 2, 0)).chunk(2, 1)
    found = torch.complex(real, imaginary)  # character, batch, row
    axes = tuple(range(len(orders)))
    found = torch.fft.ifftn(found.unflatten(0, tuple(orders)), dim=axes, norm="forward").real
    return found.flatten(0, axes[-1]).movedim(0, 1).unflatten(0, latent.shape[:-2])

"""Monotonic rational-quadratic splines, without branches that depend on data.

Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019, arXiv:1906.04032, after Gregory
and Delbourgo, "Piecewise rational quadratic interpolation to monotonic data", 1982.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad, softmax, softplus

__all__ = ["apply_spline", "invert_spline", "numbers_of"]

_LEAST = 1e-3  # width and height of a bin, over the average ones, and slope at a knot
_UNIT_SLOPE = math.log(math.expm1(1 - _LEAST))  # where softplus gives slope one


class _Bin(NamedTuple):
    """The bin that each number falls into: its corner, sizes and slopes at both ends."""

    left: Tensor
    bottom: Tensor
    width: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor


def numbers_of(bins: int) -> int:
    """Return how many free numbers a spline has: widths, heights and inner slopes."""
    return 3 * bins - 1


def apply_spline(
    value: Float[Tensor, "*batch"], free: Float[Tensor, "*batch number"], *, bound: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return the spline of each number, and the logarithm of its slope there.

    With free numbers of zero it is the identity, as it always is outside of `bound`.

    Args:
        value: Where.
        free: Any numbers; see `numbers_of`.
        bound: The spline goes from minus this to this, on both axes.
    """
    inner = value.clamp(-bound, bound)
    found = _bin_of(inner, free, bound, by_height=False)
    place = (inner - found.left) / found.width
    rest = place * (1 - place)
    secant = found.height / found.width
    below = secant + (found.slope + found.next_slope - 2 * secant) * rest
    moved = found.bottom + found.height * (secant * place.square() + found.slope * rest) / below
    inside = value.abs() < bound
    return torch.where(inside, moved, value), inside * _log_slope(found, place)


def invert_spline(
    value: Float[Tensor, "*batch"], free: Float[Tensor, "*batch number"], *, bound: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return where the spline takes each value, and the logarithm of the inverse's slope.

    Args:
        value: What the spline should give.
        free: As for `apply_spline`.
        bound: As for `apply_spline`.
    """
    inner = value.clamp(-bound, bound)
    found = _bin_of(inner, free, bound, by_height=True)
    above, secant = inner - found.bottom, found.height / found.width
    bend = found.slope + found.next_slope - 2 * secant
    linear = found.height * found.slope - above * bend
    square = found.height * (secant - found.slope) + above * bend
    # Its square root is the slope at the solution times a positive number: rounding alone can
    # make it negative.
    root = (linear.square() + 4 * square * secant * above).clamp(min=1e-30).sqrt()
    place = (2 * secant * above / (linear + root)).clamp(0, 1)
    inside = value.abs() < bound
    moved = found.left + place * found.width
    return torch.where(inside, moved, value), -(inside * _log_slope(found, place))


def _bin_of(value: Tensor, free: Tensor, bound: float, *, by_height: bool) -> _Bin:
    bins = (free.shape[-1] + 1) // 3
    widths, heights = (_sizes(part, bound) for part in free[..., : 2 * bins].chunk(2, -1))
    slopes = pad(softplus(free[..., 2 * bins :] + _UNIT_SLOPE) + _LEAST, (1, 1), value=1.0)
    lefts, bottoms = (sizes.cumsum(-1) - sizes - bound for sizes in (widths, heights))
    edges = bottoms if by_height else lefts
    index = (value.detach().unsqueeze(-1) >= edges[..., 1:]).sum(-1, keepdim=True)
    parts = torch.stack([lefts, bottoms, widths, heights, slopes[..., :-1], slopes[..., 1:]], -2)
    where = index.unsqueeze(-2).expand(*index.shape[:-1], 6, 1)
    return _Bin(*parts.gather(-1, where).squeeze(-1).unbind(-1))


def _sizes(free: Tensor, bound: float) -> Tensor:
    return 2 * bound * (_LEAST / free.shape[-1] + (1 - _LEAST) * softmax(free, -1))


def _log_slope(found: _Bin, place: Tensor) -> Tensor:
    rest, secant = place * (1 - place), found.height / found.width
    above = (
        found.next_slope * place.square() + 2 * secant * rest + found.slope * (1 - place).square()
    )
    below = secant + (found.slope + found.next_slope - 2 * secant) * rest
    return (secant.square() * above / below.square()).log()

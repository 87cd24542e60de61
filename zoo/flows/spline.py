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
    place = ((inner - found.left) / found.width).clamp(0, 1)  # rounding may leave the bin
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
    """Find bins by counting, and pick what belongs to them before anything else is computed."""
    bins = (free.shape[-1] + 1) // 3
    shares = softmax(free[..., : 2 * bins].unflatten(-1, (2, bins)), -1)
    sizes = 2 * bound * (_LEAST / bins + (1 - _LEAST) * shares)
    ends = sizes.cumsum(-1)
    inner = ends[..., 1 if by_height else 0, :-1].detach()
    index = ((value.detach() + bound).unsqueeze(-1) >= inner).sum(-1, keepdim=True)
    both = index.unsqueeze(-2).expand(*index.shape[:-1], 2, 1)
    width, height = sizes.gather(-1, both).squeeze(-1).unbind(-1)
    right, top = ends.gather(-1, both).squeeze(-1).unbind(-1)
    # A free number of zero is a slope of one: that of the identity outside.
    slopes = pad(free[..., 2 * bins :], (1, 1)).gather(-1, torch.cat([index, index + 1], -1))
    slope, next_slope = (softplus(slopes + _UNIT_SLOPE) + _LEAST).unbind(-1)
    return _Bin(right - width - bound, top - height - bound, width, height, slope, next_slope)


def _log_slope(found: _Bin, place: Tensor) -> Tensor:
    rest, secant = place * (1 - place), found.height / found.width
    above = (
        found.next_slope * place.square() + 2 * secant * rest + found.slope * (1 - place).square()
    )
    below = secant + (found.slope + found.next_slope - 2 * secant) * rest
    return (secant.square() * above / below.square()).log()

"""Sticky on-off chains: which factors move in which transition."""

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from ..errors import DataError

__all__ = ["sticky_spikes"]


def sticky_spikes(
    shape: tuple[int, int, int],
    *,
    p_on: float,
    p_stay: float,
    generator: Generator,
    p_initial: float | None = None,
    reject_all_zero: bool = True,
) -> Bool[Tensor, "sequence transition factor"]:
    """Draw independent sticky on-off chains, optionally with something on at every step.

    The first step is Bernoulli(p_initial) for each factor; after that a factor that was off is on
    with probability p_on and one that was on stays on with probability p_stay. With
    `reject_all_zero`, an all-zero vector at any step is replaced by a draw from the first-step law
    given that it is not all zero, which is the law of the reference's simulator (it is not the
    sticky law conditioned on being non-zero, which keeps factors on longer).

    Args:
        shape: Numbers of sequences, transitions and factors.
        p_on: Probability of switching on.
        p_stay: Probability of staying on.
        generator: Source of all randomness.
        p_initial: Probability of being on at the first step; p_on when None.
        reject_all_zero: Redraw all-zero vectors.
    """
    count, transitions, factors = shape
    initial = p_on if p_initial is None else p_initial
    spikes = torch.empty(shape, dtype=torch.bool)
    probability = torch.full((count, factors), initial)
    for step in range(transitions):
        spike = torch.rand(count, factors, generator=generator) < probability
        if reject_all_zero:
            fresh = _not_all_zero(count, factors, initial, generator)
            spike = torch.where(spike.any(-1, keepdim=True), spike, fresh)
        spikes[:, step] = spike
        probability = torch.where(spike, p_stay, p_on)
    return spikes


def _not_all_zero(count: int, factors: int, p: float, generator: Generator) -> Tensor:
    """Draw vectors of independent Bernoulli(p) given that at least one entry is on.

    The first entry that is on has a truncated geometric law; those after it are unaffected.
    """
    if not 0 < p <= 1:
        raise DataError(
            f"p_initial={p}: with reject_all_zero, something must be able to start. "
            "Choose p_initial in (0, 1], or reject_all_zero=False."
        )
    up_to = 1 - (1 - p) ** torch.arange(1, factors + 1, dtype=torch.float64)
    uniform = torch.rand(count, 1, dtype=torch.float64, generator=generator)
    first = (uniform * up_to[-1] >= up_to[:-1]).sum(-1, keepdim=True)
    index = torch.arange(factors)
    rest = torch.rand(count, factors, generator=generator) < p
    return (index == first) | ((index > first) & rest)

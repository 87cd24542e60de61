"""Runge-Kutta steps of fixed size: they never wait for the device, and can be captured as a graph.

Step sizes are plain numbers, so nothing about a solution depends on values of tensors. The methods
are those of the same names in torchdiffeq, to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

__all__ = ["FixedStepMethod", "State", "solve_in_steps"]

FixedStepMethod = Literal["euler", "midpoint", "rk4"]
State = tuple[Tensor, ...]


@dataclass(frozen=True)
class _Tableau:
    """When the stages of a step look at the slope, where, and what the step makes of them."""

    times: tuple[float, ...]
    places: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


_TABLEAUS: dict[FixedStepMethod, _Tableau] = {
    "euler": _Tableau(times=(0.0,), places=((),), weights=(1.0,)),
    "midpoint": _Tableau(times=(0.0, 0.5), places=((), (0.5,)), weights=(0.0, 1.0)),
    # Kutta's 3/8 rule, whose error is smaller than that of the classical method.
    "rk4": _Tableau(
        times=(0.0, 1 / 3, 2 / 3, 1.0),
        places=((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
        weights=(1 / 8, 3 / 8, 3 / 8, 1 / 8),
    ),
}


def solve_in_steps(
    slope: Callable[[Float[Tensor, ""], State], State],
    state: State,
    begin: float,
    end: float,
    *,
    method: FixedStepMethod,
    steps: int,
) -> State:
    """Return the solution of `d state / dt = slope(t, state)` at time `end`.

    Args:
        slope: The right-hand side.
        state: Where to begin.
        begin: Time at the beginning.
        end: Time at the end; may be the earlier one.
        method: The method.
        steps: Number of equal steps.
    """
    tableau, size = _TABLEAUS[method], (end - begin) / steps
    for step in range(steps):
        slopes: list[State] = []
        for time, place in zip(tableau.times, tableau.places, strict=True):
            now = state[0].new_full((), begin + (step + time) * size)
            slopes.append(slope(now, _moved(state, slopes, place, size)))
        state = _moved(state, slopes, tableau.weights, size)
    return state


def _moved(state: State, slopes: Sequence[State], weights: Sequence[float], size: float) -> State:
    """Return the state moved along the weighted sum of slopes."""
    for slope, weight in zip(slopes, weights, strict=True):
        if weight:
            pairs = zip(state, slope, strict=True)
            state = tuple(x.add(change, alpha=weight * size) for x, change in pairs)
    return state

"""Prior sensitivity: how posteriors change if prior or likelihood weighed a little more.

Kallioinen, Paananen, Bürkner, Vehtari, "Detecting and diagnosing prior and likelihood sensitivity
with power-scaling", 2024, Statistics and Computing 34(57).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from xarray import DataArray

from ...zoo.errors import ConfigError, DataError
from .draws import names_in, quantities, require_axes, variable
from .from_arviz import pareto_smoothed
from .importance import FEWEST_DRAWS

if TYPE_CHECKING:
    import arviz

__all__ = ["Sensitivity", "prior_sensitivity"]

_POWERS = (0.99, 1.01)
_THRESHOLD = 0.05  # as published: a standard normal's mean moving by a twentieth, or so
_NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How far posteriors move for each doubling of the weight of prior or likelihood.

    Distances are the square roots of cumulative Jensen-Shannon divergences, in root mean square
    over data and elements, less what as many draws show of a prior that has no influence at all.

    Attributes:
        prior: Of each `quantity`, to the prior of all latents of a datum.
        likelihood: Likewise, to its likelihood.
    """

    prior: Float[DataArray, " quantity"]
    likelihood: Float[DataArray, " quantity"]

    @property
    def diagnoses(self) -> dict[str, str]:
        """What each quantity rests on, by the published threshold of 0.05."""
        words = {
            (False, False): "neither",
            (False, True): "data",
            (True, False): "prior",
            (True, True): "both",
        }
        pairs = zip(self.prior >= _THRESHOLD, self.likelihood >= _THRESHOLD, strict=True)
        names = self.prior["quantity"].values
        return {str(n): words[bool(p), bool(x)] for n, (p, x) in zip(names, pairs, strict=True)}

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        return tuple(
            f"The posterior of {name} follows its prior and hardly the data."
            for name, rests_on in self.diagnoses.items()
            if rests_on == "prior"
        )

    def __str__(self) -> str:
        """Return what was found, in words."""
        rows = [
            f"{name}: sensitivity {p:.2f} to the prior, {x:.2f} to the likelihood."
            for name, p, x in zip(
                self.prior["quantity"].values,
                self.prior.values,
                self.likelihood.values,
                strict=True,
            )
        ]
        return "\n".join((*rows, *self.concerns))


def prior_sensitivity(
    idata: arviz.InferenceData,
    variables: Sequence[str] | None = None,
    *,
    by: Sequence[str] | None = None,
    seed: int = 0,
) -> Sensitivity:
    """Return how posteriors would move if prior or likelihood were raised to another power.

    Draws of the guide stand for the posterior, as they are. A quantity that rests on both prior and
    data is what one expects of latents whose prior was learned with them; for a prior that was
    chosen, it may be a conflict of prior and data.

    Args:
        idata: What `posterior` returned, with the groups `posterior`, `sample_stats` and
            `log_likelihood`, and at least 25 draws.
        variables: Of the group `posterior`; all that have the axis of the data by default.
        by: Axes along which every position is a quantity by itself; those with labels by default.
        seed: Of the comparison without influence.

    Raises:
        DataError: Something is missing, there are too few draws, or a density is not finite.
        ConfigError: No variable belongs to data, or an axis is unknown.
    """
    log_p = variable(idata, "sample_stats", "log_p").astype(float)
    datum = str(log_p.dims[1])
    likelihood = 0.0 * log_p
    for name in names_in(idata, "log_likelihood"):
        likelihood = likelihood + variable(idata, "log_likelihood", name).astype(float)
    if len(log_p) < FEWEST_DRAWS or not np.isfinite(log_p - likelihood).all():
        raise DataError(
            f"Found {len(log_p)} draws, but at least {FEWEST_DRAWS}, of finite density, are needed."
        )
    drawn = {n: variable(idata, "posterior", n) for n in variables or names_in(idata, "posterior")}
    drawn = {name: values for name, values in drawn.items() if datum in values.dims}
    require_axes(by, drawn.values(), datum)
    arrays = {}
    for name, values in drawn.items():
        for label, part in quantities(name, values, by):
            numbers = part.transpose("draw", datum, ...).values
            arrays[label] = numbers.reshape(*numbers.shape[:2], -1)
    if not arrays:
        raise ConfigError(
            f"Found variables {variables}, but one with the axis {datum!r} is needed."
        )
    order = np.random.default_rng(seed).permutation(len(log_p))
    found = []
    for log_density in (log_p - likelihood, likelihood):
        weights = [_weights(log_density.values, power) for power in _POWERS]
        found.append([_influence(numbers, weights, order) for numbers in arrays.values()])
    return Sensitivity(
        *(DataArray(each, dims="quantity", coords={"quantity": list(arrays)}) for each in found)
    )


def _weights(
    log_density: Float[np.ndarray, "draw datum"], power: float
) -> Float[np.ndarray, "draw datum"]:
    return pareto_smoothed((power - 1) * log_density.T)[0].T


def _influence(
    values: Float[np.ndarray, "draw datum element"],
    weights: Sequence[Float[np.ndarray, "draw datum"]],
    order: np.ndarray,
) -> float:
    """Return the root mean square of distances, less that of weights in another order of draws."""
    draws, data, elements = values.shape
    rows = max(1, _NUMBERS_AT_ONCE // (draws * elements))
    total = 0.0
    for start in range(0, data, rows):
        part = slice(start, start + rows)
        ranks = values[:, part].argsort(0)
        steps = np.diff(np.take_along_axis(values[:, part], ranks, 0).astype(float), axis=0)
        own, other = 0.0, 0.0
        for power, each in zip(_POWERS, weights, strict=True):
            for shuffled in (False, True):
                weight = each[order][:, part] if shuffled else each[:, part]
                moved = np.take_along_axis(weight[..., None], ranks, 0)
                distance = _distance(steps, moved) / abs(np.log2(power)) / len(_POWERS)
                if shuffled:
                    other = other + distance
                else:
                    own = own + distance
        total += float(np.sum(np.square(own) - np.square(other)))
    return float(np.sqrt(max(0.0, total / (data * elements))))


def _distance(
    steps: Float[np.ndarray, "step ..."], weights: Float[np.ndarray, "draw ..."]
) -> Float[np.ndarray, "*axes"]:
    """Return the cumulative Jensen-Shannon distance of weighted draws from the draws themselves.

    Args:
        steps: From each draw to the next larger one.
        weights: Of the draws in order; sum to one.
    """
    from scipy.special import rel_entr

    even = np.arange(1, len(weights)).reshape(-1, *[1] * (weights.ndim - 1)) / len(weights)
    below = np.clip(np.cumsum(weights, 0)[:-1], 0.0, 1.0)
    found = []
    for p, q in ((even, below), (1 - even, 1 - below)):
        middle = (p + q) / 2
        divergence = (steps * (rel_entr(p, middle) + rel_entr(q, middle))).sum(0) / np.log(2)
        bound = (steps * (p + q)).sum(0)
        found.append(np.sqrt(np.maximum(divergence, 0) / np.where(bound > 0, bound, 1.0)))
    return np.maximum(*found)

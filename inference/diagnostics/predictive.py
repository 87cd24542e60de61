"""Predictive checks: do data that a model makes up look like those that were seen?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped
from xarray import DataArray, concat

from ...zoo.errors import ConfigError, DataError
from .draws import DRAW, names_in, observed, variable
from .uniformity import place_among, uniform_p_value

if TYPE_CHECKING:
    import arviz

__all__ = ["Discrepancy", "PredictiveCheck", "default_discrepancies", "predictive_check"]

Discrepancy = Callable[[DataArray], DataArray]
_IN_ORDER = ("frame", "time")  # axes along which neighbours belong together
_RARE = 0.05  # probability of any concern about a true model


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Numbers that sum up a datum, for data seen and for data made up.

    Attributes:
        observed: Of the data seen, for each `discrepancy`.
        replicated: Of data drawn anew at draws of the posterior.
        p_value: Share of these above the datum seen (Gelman, Meng, Stern 1996, Statistica Sinica
            6). Their latents have seen it, so even for a true model these p-values crowd about one
            half: extreme ones tell something, others do not.
        overall: The same for the mean over all data.
        deviation: How far that mean is above those of replications, in their standard deviations.
        place: Where each datum lies among data that the model makes up without having seen it,
            from 0 to 1 (Box 1980). For a true model uniform and independent, unless data share
            latents or the model has learned from them. None without the group `prior_predictive`.
        uniform: p-value of the places of each discrepancy being uniform; None likewise.
    """

    observed: Float[DataArray, "discrepancy datum"]
    replicated: Float[DataArray, "discrepancy draw datum"]
    p_value: Float[DataArray, "discrepancy datum"]
    overall: Float[DataArray, " discrepancy"]
    deviation: Float[DataArray, " discrepancy"]
    place: Float[DataArray, "discrepancy datum"] | None
    uniform: Float[DataArray, " discrepancy"] | None

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        rare, found = _RARE / (2 * self.overall.size), []
        for name in self.overall["discrepancy"].values:
            share, away = (float(x.sel(discrepancy=name)) for x in (self.overall, self.deviation))
            # With few replications the share alone cannot be small enough, so both must be.
            if 2 * min(share, 1 - share) < rare and self._tail(away) < rare:
                found.append(
                    f"The {name} of the data is {'above' if away > 0 else 'below'} that of "
                    f"replications, by {abs(away):.1f} of their standard deviations."
                )
            if self.uniform is not None and float(self.uniform.sel(discrepancy=name)) < rare:
                found.append(
                    f"The {name} of the data is not spread as in data that the model makes up "
                    f"(p = {float(self.uniform.sel(discrepancy=name)):.1g})."
                )
        return tuple(found)

    def __str__(self) -> str:
        """Return what was found, in words."""
        rows = [
            f"{name}: {share:.1%} of replications are above the data ({away:+.1f} standard "
            "deviations)."
            for name, share, away in zip(
                self.overall["discrepancy"].values,
                self.overall.values,
                self.deviation.values,
                strict=True,
            )
        ]
        return "\n".join((*rows, *self.concerns))

    def _tail(self, deviation: float) -> float:
        """Return the probability of such a deviation from a few normal replications."""
        from scipy.special import stdtr

        draws = self.replicated.sizes[DRAW]
        return 2 * float(stdtr(draws - 1, -abs(deviation) / np.sqrt(1 + 1 / draws)))


def default_discrepancies(values: Shaped[DataArray, "datum ..."]) -> dict[str, Discrepancy]:
    """Return what sums up a datum: mean, standard deviation, maximum, and how much it changes.

    Args:
        values: What is summed up; the change is that between neighbours along an axis called
            `frame` or `time`. A datum that is one number is summed up by its `value`.
    """
    over = values.dims[1:]
    if not over:
        return {"value": lambda x: x}
    found: dict[str, Discrepancy] = {
        "mean": lambda x: x.mean(over),
        "standard deviation": lambda x: x.std(over),
        "maximum": lambda x: x.max(over),
    }
    for axis in over:
        if axis in _IN_ORDER and values.sizes[axis] > 1:
            found[f"change along {axis}"] = _change(axis, over)
    return found


def _change(axis: Hashable, over: tuple[Hashable, ...]) -> Discrepancy:
    return lambda x: abs(x.diff(axis)).mean(over)


def predictive_check(
    idata: arviz.InferenceData,
    variable_name: str | None = None,
    discrepancies: Mapping[str, Discrepancy] | None = None,
    *,
    seed: int = 0,
) -> PredictiveCheck:
    """Compare the data seen with data that the model makes up.

    Args:
        idata: What `posterior` returned, with the groups `observed_data`, `posterior_predictive`
            and, for places, `prior_predictive`.
        variable_name: Of the data; may be left out where there is only one.
        discrepancies: Functions by name, which return a number for each datum (and draw, if there
            is an axis `draw`) of an array with named axes; see `default_discrepancies`. What is
            missing in the data is NaN, in replications, too. A datum whose number is NaN is left
            out.
        seed: Of breaking ties.

    Raises:
        DataError: A group or variable is missing, or there is one replication only.
        ConfigError: The variable is left open, or a function returns other axes.
    """
    known = names_in(idata, "observed_data")
    if variable_name is None and len(known) != 1:
        raise ConfigError(f"Found the observed variables {known}. Name one of them.")
    name = variable_name or known[0]
    seen = observed(idata, name)
    functions = default_discrepancies(seen) if discrepancies is None else dict(discrepancies)
    if not functions:
        raise ConfigError("Found no discrepancies, but at least one function is needed.")
    summed = _sum_up(functions, seen, ())
    replicated = _sum_up(functions, _as_seen(idata, "posterior_predictive", seen), (DRAW,))
    means, mean = (each.mean(str(seen.dims[0])) for each in (replicated, summed))
    if means.sizes[DRAW] < 2:
        raise DataError("Found 1 replication of the data, but at least 2 are needed.")
    place = uniform = None
    if names_in(idata, "prior_predictive"):
        prior = _sum_up(functions, _as_seen(idata, "prior_predictive", seen), (DRAW,))
        place = place_among(prior.transpose(DRAW, ...), summed, np.random.default_rng(seed))
        place = place.where(summed.notnull())
        uniform = mean.copy(data=[_uniformity(each) for each in place.values])
    return PredictiveCheck(
        observed=summed,
        replicated=replicated,
        p_value=_share_above(replicated, summed),
        overall=_share_above(means, mean),
        deviation=_deviation(means, mean),
        place=place,
        uniform=uniform,
    )


def _as_seen(idata: arviz.InferenceData, group: str, seen: DataArray) -> DataArray:
    """Return replications in which the same numbers are missing as in the data."""
    return variable(idata, group, str(seen.name)).where(seen.notnull())


def _sum_up(
    functions: Mapping[str, Discrepancy], values: DataArray, draws: tuple[str, ...]
) -> Float[DataArray, "discrepancy ..."]:
    axes = (*draws, values.dims[len(draws)])
    found = []
    for name, function in functions.items():
        numbers = function(values)
        if set(numbers.dims) != set(axes):
            raise ConfigError(
                f"The discrepancy {name!r} returns the axes {numbers.dims}, but {axes} are needed. "
                "Let it sum up all others."
            )
        found.append(
            numbers.transpose(*axes).astype(float).drop_vars("discrepancy", errors="ignore")
        )
    return concat(found, "discrepancy").assign_coords(discrepancy=list(functions))


def _deviation(replicated: DataArray, seen: DataArray) -> DataArray:
    """Return deviations, infinite where all replications are alike and the data are not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return ((seen - replicated.mean(DRAW)) / replicated.std(DRAW, ddof=1)).fillna(0.0)


def _share_above(replicated: DataArray, seen: DataArray) -> DataArray:
    share = ((replicated > seen) + 0.5 * (replicated == seen)).mean(DRAW)
    return share.where(seen.notnull())


def _uniformity(places: Float[np.ndarray, " datum"]) -> float:
    known = places[~np.isnan(places)]
    return uniform_p_value(known) if len(known) else 1.0

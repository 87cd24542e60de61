"""Which of several models predicts data best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from xarray import DataArray, concat

from ...zoo.errors import ConfigError, DataError
from .draws import names_in, observed
from .from_arviz import elpd_data
from .importance import Importance, importance_sampling

if TYPE_CHECKING:
    import arviz

__all__ = ["Comparison", "compare", "evidence"]

_STEPS = 1000


@dataclass(frozen=True, eq=False)
class Comparison:
    """Expected log predictive densities of models, best first.

    Attributes:
        elpd: Sum over data of log p(x), in nats, of each `model`.
        error: Standard error of that sum, for other data of the same kind.
        noise: Standard deviation of it due to the finite number of draws.
        difference: What it is below the best, in nats.
        difference_error: Standard error of the difference, from datum to datum.
        weight: Of each model in the mixture that predicts best (Yao et al. 2018).
        unreliable: Share of data whose log p(x) cannot be told from the draws: it is too low.
        pointwise: log p(x) of each datum.
    """

    elpd: Float[DataArray, " model"]
    error: Float[DataArray, " model"]
    noise: Float[DataArray, " model"]
    difference: Float[DataArray, " model"]
    difference_error: Float[DataArray, " model"]
    weight: Float[DataArray, " model"]
    unreliable: Float[DataArray, " model"]
    pointwise: Float[DataArray, "model datum"]

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        return tuple(
            f"For {share:.0%} of the data, draws of the guide of {name!r} do not tell log p(x): it "
            "may be better than it looks here."
            for name, share in zip(
                map(str, self.elpd["model"].values), self.unreliable.values, strict=True
            )
            if share > 0
        )

    def __str__(self) -> str:
        """Return what was found, in words."""
        rows = [
            f"{name}: {float(self.elpd[k]):.1f} nats, {float(self.difference[k]):.1f} ± "
            f"{float(self.difference_error[k]):.1f} below the best; weight "
            f"{float(self.weight[k]):.2f}."
            for k, name in enumerate(self.elpd["model"].values)
        ]
        return "\n".join((*rows, *self.concerns))


def evidence(idata: arviz.InferenceData) -> Any:  # noqa: ANN401 - a class of ArviZ that has changed
    """Return log p(x) of each datum as ArviZ's `compare` and `plot_compare` take it.

    Do not give the group `log_likelihood` to `az.loo` or `az.compare`: it holds log p(x | latents)
    at latents that have seen x, and a model whose latents remember more scores better there. Given
    the learned parameters, data are independent: the others say nothing of one that is left out,
    and its predictive density is p(x) with the latents integrated out. Draws of the guide and their
    importance weights give that (Burda et al. 2016), with latents that all data share integrated
    out too. The data must be held out: parameters that have seen them make any such score too high.

    Args:
        idata: What `posterior` returned for held-out data, with the group `sample_stats`.

    Raises:
        DataError: As `importance_sampling`.
    """
    found = importance_sampling(idata)
    return elpd_data(found.bound, found.khat, found.draws)


def compare(idatas: Mapping[str, arviz.InferenceData]) -> Comparison:
    """Compare models by log p(x) of the same held-out data, see `evidence`.

    Densities are compared as they are: all models must treat the data alike, as numbers in [0, 1],
    say, and none as binary.

    Args:
        idatas: What `posterior` returned for each of two models or more, by name.

    Raises:
        ConfigError: There is one model only.
        DataError: The data differ, or as `importance_sampling`.
    """
    if len(idatas) < 2:
        raise ConfigError(f"Found {len(idatas)} models, but at least 2 are needed to compare.")
    _check_same_data(idatas)
    found = {name: importance_sampling(idata) for name, idata in idatas.items()}
    names = sorted(found, key=lambda name: -float(found[name].bound.sum()))
    pointwise = _side_by_side({name: found[name].bound for name in names})
    count, datum = pointwise.shape[1], str(pointwise.dims[1])
    below = pointwise.isel(model=0, drop=True) - pointwise
    usable = _side_by_side({name: found[name].usable for name in names})
    return Comparison(
        elpd=pointwise.sum(datum),
        error=(count * pointwise.var(datum)) ** 0.5,
        noise=_side_by_side({name: _noise(found[name]) for name in names}),
        difference=below.sum(datum),
        difference_error=(count * below.var(datum)) ** 0.5,
        weight=_stacking_weights(pointwise),
        unreliable=1 - usable.mean(datum),
        pointwise=pointwise,
    )


def _side_by_side(each: Mapping[str, DataArray]) -> DataArray:
    return concat(each.values(), "model").assign_coords(model=list(each))


def _stacking_weights(pointwise: Float[DataArray, "model datum"]) -> Float[DataArray, " model"]:
    """Return the weights of the mixture of models that gives the data the highest density.

    By expectation maximisation. ArviZ takes the exponential of densities as they are, which those
    of images do not survive; only their ratios matter.
    """
    ratios = np.exp((pointwise - pointwise.max("model")).values)
    weights = np.full(len(ratios), 1 / len(ratios))
    for _ in range(_STEPS):
        shares = weights[:, None] * ratios
        weights = (shares / shares.sum(0)).mean(1)
    return pointwise.isel({pointwise.dims[1]: 0}, drop=True).copy(data=weights)


def _noise(found: Importance) -> DataArray:
    """Return the deviation of the sum of bounds; see Vehtari et al. 2024, section 2.2."""
    variance = 1 / found.effective_draws - 1 / found.draws
    return variance.clip(0).sum() ** 0.5


def _equal(one: np.ndarray, two: np.ndarray) -> bool:
    """Return whether all numbers are the same, and the same are missing."""
    real = one.dtype.kind == two.dtype.kind == "f"
    return np.array_equal(one, two, equal_nan=real)


def _check_same_data(idatas: Mapping[str, arviz.InferenceData]) -> None:
    """Refuse data that differ, as far as the models call them alike."""
    first, *others = idatas
    for name in others:
        shared = [
            variable
            for variable in names_in(idatas[first], "observed_data")
            if variable in names_in(idatas[name], "observed_data")
        ]
        for variable in shared:
            one, two = (observed(idatas[n], variable).values for n in (first, name))
            if one.shape != two.shape or not _equal(one, two):
                raise DataError(
                    f"The data {variable!r} of {first!r} and of {name!r} differ. Compare models on "
                    "the same data, in the same order."
                )

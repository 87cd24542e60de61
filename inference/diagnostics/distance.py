"""How far draws of a guide are from those of a reference posterior, site by site."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from xarray import DataArray, Dataset

from ...zoo.errors import DataError
from ..labelled import Group, Labelled
from .draws import names_in, variable

if TYPE_CHECKING:
    import arviz

__all__ = ["Distance", "convergence", "distance_to_reference"]

# The largest of many estimates is looked at, each of which is noisy: 1.01 is for a single one.
_LARGEST_R_HAT = 1.05
_FEWEST_EFFECTIVE = 100
_FAR = 0.3  # standard deviations; a guide of half the width is 0.4 away
_FAR_SPIKE = 0.1  # in probability


@dataclass(frozen=True, eq=False)
class Distance:
    """Distances of a guide's draws from those of a reference, in the axes of each variable.

    They are in standard deviations of the reference; those of a variable that is 0 or 1, such as a
    spike, are differences of its probability. Where the reference does not vary, or its chains have
    not `converged`, they are NaN.

    Attributes:
        mean: Difference of the means, guide less reference.
        sd: Ratio of the standard deviations, guide to reference.
        wasserstein: Area between the two distribution functions: how far draws are from where they
            should be, on average.
        error: Standard deviation of `mean` that comes of the finite number of draws.
        converged: Whether the reference of a datum can be relied on.
    """

    mean: Dataset
    sd: Dataset
    wasserstein: Dataset
    error: Dataset
    converged: Bool[DataArray, " datum"]

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        found = []
        if not bool(self.converged.all()):
            found.append(
                f"The chains of {int((~self.converged).sum())} of {self.converged.size} data have "
                "not converged, so nothing is known of these. Draw longer, or from a refined guide."
            )
        for name, values in self.wasserstein.items():
            far = float(values.mean())
            if far > (_FAR_SPIKE if self._is_spike(name) else _FAR):
                unit = "" if self._is_spike(name) else " standard deviations"
                found.append(f"The guide's {name} is {far:.2g}{unit} from the reference.")
        return tuple(found)

    def __str__(self) -> str:
        """Return what was found, in words."""
        rows = [
            f"{name}: {float(self.wasserstein[name].mean()):.2g} from the reference, root mean "
            f"square of mean differences {float(np.sqrt((self.mean[name] ** 2).mean())):.2g}"
            + (
                "."
                if self._is_spike(name)
                else f", median ratio of deviations {float(self.sd[name].median()):.2g}."
            )
            for name in map(str, self.wasserstein)
        ]
        return "\n".join((*rows, *self.concerns))

    def _is_spike(self, name: Any) -> bool:  # noqa: ANN401 - xarray's names are hashable
        return bool(self.sd[name].isnull().all())


def distance_to_reference(idata: arviz.InferenceData, reference: arviz.InferenceData) -> Distance:
    """Compare draws of a guide with those of a reference posterior of the same data.

    Args:
        idata: What `posterior` returned for these data, with the group `posterior`.
        reference: What `reference_posterior` returned for them.

    Raises:
        DataError: The two have no variable in common, or other data.
    """
    converged = reference["sample_stats"]["converged"].astype(bool)
    names = [n for n in names_in(reference, "posterior") if n in names_in(idata, "posterior")]
    if not names:
        raise DataError(
            f"Found variables {names_in(idata, 'posterior')} and, in the reference, "
            f"{names_in(reference, 'posterior')}. Give two posteriors of one model."
        )
    found: dict[str, dict[str, DataArray]] = {"mean": {}, "sd": {}, "wasserstein": {}, "error": {}}
    for name in names:
        own, true = (variable(each, "posterior", name) for each in (idata, reference))
        if own.sizes != {**true.sizes, "draw": own.sizes["draw"]}:
            raise DataError(
                f"{name!r} has the axes {dict(own.sizes)}, but {dict(true.sizes)} in the "
                "reference. Draw from the guide for the data that the reference is of."
            )
        effective = _per_variable("ess", reference["posterior"][[name]], method="mean")[name]
        for kind, values in _distances(own, true, effective).items():
            found[kind][name] = values.where(converged)
    return Distance(
        **{kind: Dataset(values) for kind, values in found.items()}, converged=converged
    )


def _distances(
    own: Float[DataArray, "draw ..."],
    true: Float[DataArray, "draw ..."],
    effective: Float[DataArray, "*axes"],
) -> dict[str, DataArray]:
    from scipy.stats import wasserstein_distance

    deviation = true.std("draw")
    spike = bool(np.isin(true, (0, 1)).all() and np.isin(own, (0, 1)).all())
    unit = 1.0 if spike else deviation.where(deviation > 0)
    columns = [each.values.reshape(each.sizes["draw"], -1).T for each in (own, true)]
    area = np.array([wasserstein_distance(a, b) for a, b in zip(*columns, strict=True)])
    error = (own.var("draw") / own.sizes["draw"] + true.var("draw") / effective) ** 0.5
    return {
        "mean": (own.mean("draw") - true.mean("draw")) / unit,
        "sd": own.std("draw") / (np.nan if spike else unit),
        "wasserstein": deviation.copy(data=area.reshape(deviation.shape)) / unit,
        "error": error / unit,
    }


def convergence(posterior: Dataset, datum: str) -> Group:
    """Return what tells whether chains have found the posterior of each datum.

    The largest `r_hat` and the smallest effective number of draws `ess` over all of its latents, by
    ranks (Vehtari, Gelman, Simpson, Carpenter, Bürkner, 2021, arXiv:1903.08008), and whether these
    are at most 1.05 and at least 100: `converged`.

    Args:
        posterior: Draws, with the axes `chain` and `draw`.
        datum: Name of the axis of the data.
    """

    def worst(of: Dataset, which: str) -> np.ndarray:
        parts = [getattr(x, which)([a for a in x.dims if a != datum]) for x in of.values()]
        return np.asarray(getattr(np, which)(np.stack([part.values for part in parts]), 0))

    r_hat = worst(_per_variable("rhat", posterior), "max")
    ess = worst(_per_variable("ess", posterior), "min")
    converged = (r_hat <= _LARGEST_R_HAT) & (ess >= _FEWEST_EFFECTIVE)
    found = {"r_hat": r_hat, "ess": ess, "converged": converged}
    return {name: Labelled((datum,), values) for name, values in found.items()}


def _per_variable(what: str, posterior: Dataset, **options: str) -> Dataset:
    arviz: Any = import_module("arviz")
    with np.errstate(all="ignore"):
        found = getattr(arviz, what)(posterior, **options)
    # What is the same in all draws of all chains has no R-hat, and nothing speaks against it.
    return found.fillna(1.0) if what == "rhat" else found

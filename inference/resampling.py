"""Importance resampling: draws of a guide become draws of the posterior, as far as they reach."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Shaped
from xarray import DataArray

from ..zoo.errors import DataError
from .diagnostics.draws import DRAW, as_draws
from .diagnostics.from_arviz import pareto_smoothed
from .diagnostics.importance import importance_sampling, log_weights
from .labelled import Group, Labelled, open_arviz, to_arviz
from .storage import write_groups

if TYPE_CHECKING:
    import arviz

__all__ = ["resample"]

_AT_DRAWS = ("posterior", "sample_stats", "log_likelihood", "posterior_predictive")


def resample(
    idata: arviz.InferenceData, *, seed: int = 0, out: str | Path | None = None
) -> arviz.InferenceData:
    """Draw again from the draws of a guide, by their Pareto-smoothed importance weights.

    Each datum has weights, and so draws, of its own; all that is known of one of its draws stays
    together. Draws that weigh much appear several times. Where Pareto k is above 0.7, weights
    cannot mend what the guide misses (Vehtari et al. 2024, JMLR 25(72)): `refine` it first.

    Args:
        idata: What `posterior` returned, with the groups `posterior` and `sample_stats`, and at
            least 25 draws.
        seed: Of the draws.
        out: A netCDF file or Zarr folder to write; all draws are in memory before.

    Returns:
        The same groups. In `sample_stats`, `khat` and `effective_draws` of each datum take the
        place of `log_q`, since these draws are no more the guide's.

    Raises:
        DataError: There are no densities, as after resampling; too few draws; a density is not a
            number; or a latent is shared by all data, whose draws weights of single data cannot
            choose.
        ConfigError: `out` is no place for draws.
        RunError: They cannot be written there.
    """
    found, weights = importance_sampling(idata), log_weights(idata)
    datum = str(weights.dims[1])
    smoothed, _ = pareto_smoothed(weights.values.T)
    groups: dict[str, Group] = {}
    for group in _groups_of(idata):
        groups[group] = {
            str(name): _labelled(
                _taken(str(name), values, smoothed, datum, seed) if group in _AT_DRAWS else values
            )
            for name, values in idata[group].data_vars.items()
            if name != "log_q"
        }
    groups["sample_stats"]["khat"] = _labelled(found.khat)
    groups["sample_stats"]["effective_draws"] = _labelled(found.effective_draws)
    coords = {
        group: {
            str(axis): labels.values
            for axis, labels in idata[group].coords.items()
            if axis in idata[group].dims and axis not in ("chain", DRAW)
        }
        for group in groups
    }
    attributes = {**idata.attrs, "resampled_with_seed": seed}
    if out is None:
        return to_arviz(groups, coords, attributes)
    write_groups(Path(out), groups, coords, attributes)
    return open_arviz(Path(out))


def _taken(
    name: str,
    values: Shaped[DataArray, "chain draw ..."],
    weights: Float[np.ndarray, "datum draw"],
    datum: str,
    seed: int,
) -> Shaped[DataArray, "chain draw ..."]:
    """Return draws of each datum, chosen by weights; there may be fewer draws than weights."""
    draws = as_draws(values)
    if datum not in draws.dims:
        raise DataError(
            f"{name!r} is shared by all data, but each datum has weights of its own. Resample the "
            "posterior of a model without such latents."
        )
    rows = _chosen(weights[:, : draws.sizes[DRAW]], seed)
    where = {DRAW: DataArray(rows, dims=(DRAW, datum))}
    where[datum] = DataArray(np.arange(rows.shape[1]), dims=datum)
    return draws.isel(where).transpose(*draws.dims).expand_dims("chain")


def _chosen(weights: Float[np.ndarray, "datum draw"], seed: int) -> Int[np.ndarray, "draw datum"]:
    """Return which draws to take, as many as there are: systematically, then in random order."""
    generator, count = np.random.default_rng(seed), weights.shape[1]
    places = (generator.random((len(weights), 1)) + np.arange(count)) / count
    below = np.maximum(weights, np.finfo(float).tiny).cumsum(1)
    pairs = zip(below / below[:, -1:], places, strict=True)
    found = np.stack([np.searchsorted(each, place) for each, place in pairs])
    return generator.permuted(np.minimum(found, count - 1), axis=1).T


def _labelled(values: Shaped[DataArray, "*axes"]) -> Labelled:
    return Labelled(tuple(map(str, values.dims)), values.values)


def _groups_of(idata: arviz.InferenceData) -> list[str]:
    tree = getattr(idata, "children", None)  # since ArviZ 1
    return list(idata.groups() if tree is None else tree)

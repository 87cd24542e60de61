"""What the diagnostics take from ArviZ, before and since its version 1."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["elpd_data", "good_khat", "pareto_smoothed"]

_EQUAL = 1e-3  # nats; weights that differ by less are as good as equal


def pareto_smoothed(
    log_weights: Float[np.ndarray, "datum draw"],
) -> tuple[Float[np.ndarray, "datum draw"], Float[np.ndarray, " datum"]]:
    """Return Pareto-smoothed weights, which sum to one, and the shape k of each tail.

    Vehtari, Simpson, Gelman, Yao, Gabry, "Pareto smoothed importance sampling", 2024, JMLR 25(72).
    k is minus infinity where the largest weights are as good as equal, and infinity where no
    weight is above zero or the tail has too few different ones.

    Args:
        log_weights: In nats; finite or minus infinity. At least 25 draws.
    """
    count = log_weights.shape[1]
    khat = np.full(len(log_weights), -np.inf)
    possible = np.isfinite(log_weights.max(1))
    khat[~possible] = np.inf
    relative = np.zeros_like(log_weights, dtype=float)
    relative[possible] = log_weights[possible] - log_weights[possible].max(1, keepdims=True)
    tail = int(np.ceil(min(count / 5, 3 * np.sqrt(count))))
    uneven = np.sort(relative, 1)[:, -tail - 1] < -_EQUAL
    if uneven.any():
        relative[uneven], shape = _psislw(relative[uneven])
        khat[uneven] = np.where(np.isnan(shape), np.inf, shape)
    weights = np.exp(relative - relative.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True), khat


def elpd_data(
    log_density: Float[DataArray, " datum"], khat: Float[DataArray, " datum"], draws: int
) -> Any:  # noqa: ANN401 - a class of ArviZ that has changed
    """Return expected log-densities as ArviZ compares and plots them.

    Args:
        log_density: Of each datum, in nats.
        khat: How reliable each is.
        draws: How many draws they are made of.
    """
    good = good_khat(draws)
    count = log_density.size
    common = {
        "se": float(np.sqrt(count * log_density.var())),
        "n_samples": draws,
        "n_data_points": count,
        "warning": bool((khat > good).any()),
        "pareto_k": khat,
        "scale": "log",
        "good_k": good,
    }
    total = float(log_density.sum())
    if since_one := _since_one():
        return since_one.ELPDDataLOO(elpd=total, p=0.0, elpd_i=log_density, **common)
    from arviz.stats.stats_utils import ELPDData

    # ArviZ tells by the first name what kind of density this is, and by the third its kind of `p`.
    named = {"elpd_loo": total, "se": common.pop("se"), "p_loo": 0.0, "loo_i": log_density}
    return ELPDData(named | common)


def good_khat(draws: int) -> float:
    """Return the k up to which so many draws are enough (Vehtari et al. 2024, section 3.2.4)."""
    return float(min(1 - 1 / np.log10(draws), 0.7))


def _psislw(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if _since_one():
        from arviz_stats.base import array_stats

        return array_stats.psislw(-log_weights)  # it takes log-likelihoods of what is left out
    from arviz import psislw

    return psislw(log_weights)


def _since_one() -> Any:  # noqa: ANN401 - the module, where it is ArviZ 1 or later
    arviz = import_module("arviz")
    return arviz if hasattr(arviz, "ELPDDataLOO") else None

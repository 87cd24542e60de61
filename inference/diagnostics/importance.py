"""How well draws of a guide stand for the posterior: their importance weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from xarray import DataArray

from ...zoo.errors import DataError
from .draws import variable
from .from_arviz import good_khat, pareto_smoothed

if TYPE_CHECKING:
    import arviz

__all__ = ["Importance", "importance_sampling"]

FEWEST_DRAWS = 25  # fewer leave no tail to fit
_GOOD = 0.5


@dataclass(frozen=True, eq=False)
class Importance:
    """What the importance weights p(x, latents) / q(latents | x) of each datum say of its guide.

    Attributes:
        elbo: Mean log-weight, in nats.
        bound: Logarithm of the mean weight: the importance-weighted bound (Burda et al. 2016,
            arXiv:1509.00519) of log p(x), in nats, with all draws as its particles.
        khat: Shape k of the tail of the weights (Yao, Vehtari, Simpson, Gelman, "Yes, but did it
            work?", 2018, arXiv:1802.02538). Below 0.5 the guide is close to the posterior; up to
            about 0.7 weights can mend what it misses; above, they cannot.
        effective_draws: How many draws of the posterior these are worth, from 1 to all.
        draws: How many there are.
    """

    elbo: Float[DataArray, " datum"]
    bound: Float[DataArray, " datum"]
    khat: Float[DataArray, " datum"]
    effective_draws: Float[DataArray, " datum"]
    draws: int

    @property
    def largest_khat(self) -> float:
        """The k up to which so many draws can be mended by their weights; at most 0.7."""
        return good_khat(self.draws)

    @property
    def good(self) -> Bool[DataArray, " datum"]:
        """Whether the guide is close to the posterior: k below 0.5."""
        return self.khat < _GOOD

    @property
    def usable(self) -> Bool[DataArray, " datum"]:
        """Whether weights can mend the guide: k up to `largest_khat`."""
        return self.khat <= self.largest_khat

    @property
    def gap(self) -> float:
        """What the bound is above the ELBO, in nats per datum.

        It estimates the divergence of the guide from the posterior, from below.
        """
        return float((self.bound - self.elbo).mean())

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        if bool(self.usable.all()):
            return ()
        return (
            f"For {1 - float(self.usable.mean()):.0%} of the data, Pareto k is above "
            f"{self.largest_khat:.2f}: the guide misses part of their posterior, and weights "
            "cannot mend it. Do not trust their intervals, and take the bound of log p(x) for too "
            "low.",
        )

    def __str__(self) -> str:
        """Return what was found, in words."""
        return "\n".join(
            (
                f"ELBO {float(self.elbo.mean()):.2f}, importance-weighted bound "
                f"{float(self.bound.mean()):.2f} nats per datum ({self.draws} draws).",
                f"Pareto k: below {_GOOD} for {float(self.good.mean()):.0%} of the data, up to "
                f"{self.largest_khat:.2f} for {float(self.usable.mean()):.0%}.",
                f"Half of the data have {float(self.effective_draws.median()):.0f} effective draws "
                "or more.",
                *self.concerns,
            )
        )


def importance_sampling(idata: arviz.InferenceData) -> Importance:
    """Return what `log_p` and `log_q` of the group `sample_stats` say of a guide.

    Args:
        idata: What `posterior` returned, with at least 25 draws.

    Raises:
        DataError: There are no such variables, too few draws, or a density is not a number.
    """
    weights = log_weights(idata)
    draws, axis = len(weights), str(weights.dims[1])
    if draws < FEWEST_DRAWS:
        raise DataError(
            f"Found {draws} draws, but at least {FEWEST_DRAWS} are needed to fit the tail of "
            "their weights. Ask `posterior` for more."
        )
    smoothed, khat = pareto_smoothed(weights.values.T)

    def labelled(values: np.ndarray) -> DataArray:
        return DataArray(values, dims=axis, coords=weights.isel(draw=0).coords)

    return Importance(
        elbo=weights.mean("draw"),
        bound=log_mean_exp(weights),
        khat=labelled(khat),
        effective_draws=labelled(1 / np.square(smoothed).sum(1)),
        draws=draws,
    )


def log_weights(idata: arviz.InferenceData) -> Float[DataArray, "draw datum"]:
    """Return log p(x, latents) - log q(latents | x) of each draw, in nats.

    Raises:
        DataError: There are no such densities, or some are NaN or infinite on the wrong side.
    """
    log_p, log_q = (variable(idata, "sample_stats", name) for name in ("log_p", "log_q"))
    weights = log_p.astype(float) - log_q.astype(float)
    wrong = np.isnan(weights) | np.isposinf(weights)
    if bool(wrong.any()):
        raise DataError(
            f"Found {int(wrong.sum())} importance weights that are not finite. Look for sites "
            "whose density is not finite at a draw of the guide."
        )
    return weights


def log_mean_exp(values: Float[DataArray, "draw ..."]) -> Float[DataArray, "*axes"]:
    """Return the logarithm of the mean over draws of what these are the logarithms of."""
    from scipy.special import logsumexp

    return values.reduce(logsumexp, "draw") - np.log(values.sizes["draw"])

"""How far to trust a posterior: every diagnostic at a sensible budget, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..zoo.config import AbstractConfig
from .diagnostics import (
    Calibration,
    Coverage,
    Importance,
    PredictiveCheck,
    importance_sampling,
    interval_coverage,
    predictive_check,
    prior_sensitivity,
    simulation_based_calibration,
)
from .diagnostics.draws import names_in, variable
from .findings import Report, Section
from .posterior import Observations, posterior
from .refinement import refine

if TYPE_CHECKING:
    import arviz

    from .run import Run

__all__ = ["Budget", "check"]

_NEARLY_ALL = 0.95  # of the data have to have weights that can be used
_VERDICTS = {
    "good": "Good: use the posterior as it is",
    "resample": "Use with resampling: run.posterior(data, resample=True)",
    "bad": "Do not trust this posterior",
}


@dataclass(frozen=True, kw_only=True)
class Budget(AbstractConfig):
    """How much `check` spends.

    Attributes:
        data: Number of data that are looked at, the first ones.
        draws: Number of draws of each.
        simulations: Number of data that calibration simulates; 0 leaves it out.
        refine: Number of steps of refinement that are tried where the guide alone is not enough; 0
            leaves that out.
    """

    data: int = 64
    draws: int = 500
    simulations: int = 300
    refine: int = 200

    def check(self) -> None:
        """Refuse numbers that leave nothing to look at."""
        for name, least in {"data": 2, "draws": 25, "refine": 0}.items():
            self.require(getattr(self, name) >= least, name, f"at least {least}")
        enough = self.simulations == 0 or self.simulations >= 10
        self.require(enough, "simulations", "0, or at least 10")


def check(
    run: Run,
    data: Observations | Mapping[str, Tensor],
    *,
    budget: Budget | None = None,
    seed: int = 0,
) -> Report:
    """Say how far to trust the posterior of a run, and why.

    "Good" is a posterior whose importance weights can be used for nearly all data (Pareto k up to
    0.7), whose guide is calibrated on data that the model simulates, and whose intervals hold the
    truth where that is known. Where weights can be used and the rest is not so, resampling the
    draws by their weights mends it. Everything else is not to be trusted, and the report says
    whether refining the guide for these very data would help.

    Args:
        run: The run.
        data: Held-out data: a split, or observed tensors by name.
        budget: How much to spend; by default some minutes for a small model.
        seed: Of all draws.

    Returns:
        A verdict with its reasons, numbers and pictures. Print it, or `save` it as one HTML page.

    Raises:
        ConfigError: A number is out of range, or model and guide break the contract.
        DataError: There are no data, or some are not finite.
    """
    budget = budget or Budget()
    some = _first(data, budget.data)
    idata = posterior(run.model, run.guide, some, draws=budget.draws, seed=seed, progress=False)
    importance, predictive = importance_sampling(idata), predictive_check(idata, seed=seed)
    calibration = None
    if budget.simulations:
        calibration = simulation_based_calibration(
            run.model, run.guide, some, simulations=budget.simulations, seed=seed
        )
    coverages = _coverages(idata, seed)
    judged = [each for each in (calibration, *coverages.values()) if each is not None]
    level = _level(importance, concerned=any(each.concerns for each in judged))
    sections = [_of_importance(importance)]
    if level == "bad" and budget.refine:
        sections.append(_of_refinement(run, some, importance, budget, seed))
    if calibration is not None:
        sections.append(_of_calibration(calibration))
    sections += [_of_coverage(name, coverage) for name, coverage in coverages.items()]
    sensitivity = prior_sensitivity(idata, seed=seed)
    sections += [
        _of_predictions(predictive),
        Section("What do posteriors rest on?", str(sensitivity), sensitivity.diagnoses, {}),
    ]
    reasons = [concern for each in (importance, *judged, predictive) for concern in each.concerns]
    verdict = _VERDICTS[level]
    if predictive.concerns:
        verdict += "; mind that the model makes up other data than these"
    return Report(
        title=f"Posterior of {type(run.model).__name__}, {budget.draws} draws for each of "
        f"{importance.khat.size} data",
        level=level,
        verdict=f"{verdict}.",
        reasons=tuple(reasons) or ("Nothing that was looked at speaks against it.",),
        sections=tuple(sections),
    )


class _First:
    """The first data of a split, with what is known of their truth."""

    def __init__(self, data: Observations, count: int) -> None:
        self._data, self._count = data, min(count, len(data))

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return self._data.batch(indices)


def _first(
    data: Observations | Mapping[str, Tensor], count: int
) -> Observations | dict[str, Tensor]:
    if isinstance(data, Mapping):
        return {name: tensor[:count] for name, tensor in data.items()}
    from ..zoo.datasets import AbstractSplit, FirstOf

    if isinstance(data, AbstractSplit):
        return FirstOf(data, count)
    return _First(data, count) if hasattr(data, "batch") else data


def _coverages(idata: arviz.InferenceData, seed: int) -> dict[str, Coverage]:
    """Return the coverage of each variable whose truth is known, along the same axes."""
    found = {}
    for name in names_in(idata, "constant_data"):
        truth = idata["constant_data"][name]
        if name in names_in(idata, "posterior"):
            draws = variable(idata, "posterior", name)
            if set(draws.dims[1:]) == set(truth.dims):
                found[name] = interval_coverage(draws, truth, seed=seed)
    return found


def _level(importance: Importance, *, concerned: bool) -> str:
    if float(importance.usable.mean()) < _NEARLY_ALL:
        return "bad"
    return "resample" if concerned else "good"


def _of_importance(importance: Importance) -> Section:
    from .plots import plot_khat

    numbers = {
        "ELBO (nats per datum)": f"{float(importance.elbo.mean()):.2f}",
        "importance-weighted bound": f"{float(importance.bound.mean()):.2f}",
        "Pareto k, median": f"{float(importance.khat.median()):.2f}",
        f"Pareto k up to {importance.largest_khat:.2f}": f"{float(importance.usable.mean()):.0%}",
        "effective draws, median": f"{float(importance.effective_draws.median()):.0f}",
    }
    picture = plot_khat(importance.khat.values, largest=importance.largest_khat)
    return Section(
        "Does the guide cover the posterior?", str(importance), numbers, {"Pareto k": picture}
    )


def _of_refinement(
    run: Run,
    data: Observations | Mapping[str, Tensor],
    before: Importance,
    budget: Budget,
    seed: int,
) -> Section:
    refined = refine(run.model, run.guide, data, steps=budget.refine, seed=seed)
    idata = posterior(
        run.model,
        refined,
        data,
        draws=budget.draws,
        seed=seed,
        groups=("posterior", "sample_stats"),
        progress=False,
    )
    after = importance_sampling(idata)
    medians = [float(each.khat.median()) for each in (before, after)]
    shares = [float(each.usable.mean()) for each in (before, after)]
    enough = "is enough" if shares[1] >= _NEARLY_ALL else "is not enough"
    words = (
        f"Refining the guide for each datum by {budget.refine} steps {enough}: "
        f"run.posterior(data, refine={budget.refine}). It raises the ELBO by "
        f"{float((after.elbo - before.elbo).mean()):.1f} nats per datum."
    )
    numbers = {
        "median Pareto k, before and after": f"{medians[0]:.2f}, {medians[1]:.2f}",
        "usable, before and after": f"{shares[0]:.0%}, {shares[1]:.0%}",
    }
    return Section("Would refinement help?", words, numbers, {})


def _of_calibration(calibration: Calibration) -> Section:
    from .plots import plot_calibration

    names = [str(name) for name in calibration.place["quantity"].values]
    picture = plot_calibration(
        calibration.place.values, names=names, probability=calibration.probability
    )
    return Section(
        "Does the guide find again what the model makes up?",
        str(calibration),
        calibration.verdicts,
        {"Simulation-based calibration": picture},
    )


def _of_coverage(name: str, coverage: Coverage) -> Section:
    return Section(f"Do intervals of {name} hold the truth?", str(coverage), {}, {})


def _of_predictions(predictive: PredictiveCheck) -> Section:
    numbers = {
        str(name): f"{share:.0%} of replications above"
        for name, share in zip(
            predictive.overall["discrepancy"].values, predictive.overall.values, strict=True
        )
    }
    return Section("Does the model make up such data?", str(predictive), numbers, {})

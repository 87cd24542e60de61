"""How far to trust a posterior: every diagnostic at a sensible budget, and a verdict in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..zoo.config import AbstractConfig
from .check_sections import (
    NEARLY_ALL,
    coverages_of,
    left_out,
    of_calibration,
    of_coverage,
    of_importance,
    of_predictions,
    of_reference,
    of_refinement,
    of_sensitivity,
    of_speeds,
)
from .diagnostics import (
    Importance,
    distance_to_reference,
    importance_sampling,
    predictive_check,
    prior_sensitivity,
    reference_posterior,
    simulation_based_calibration,
)
from .findings import Report, Section
from .posterior import GROUPS, Observations, posterior
from .progress import stage_progress
from .refinement import coordinates_of, refine

if TYPE_CHECKING:
    import arviz

    from .run import Run

__all__ = ["Budget", "check"]

_OF_REPAIR = ("posterior", "sample_stats", "constant_data")
_STEPS, _WIDE = 400, 200
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
            leaves that out. None: 400, unless a datum has more than 200 numbers to be moved, which
            would take hours.
        reference: Number of data whose posterior is also drawn by Markov chains; 0 leaves that out.
            A minute for two data of a small model; two sequences of digits took 1.3 s of processor
            time a step, and there are a thousand.
    """

    data: int = 64
    draws: int = 500
    simulations: int = 300
    refine: int | None = None
    reference: int = 0

    def check(self) -> None:
        """Refuse numbers that leave nothing to look at."""
        for name, least in {"data": 2, "draws": 25, "refine": 0, "reference": 0}.items():
            value = getattr(self, name)
            self.require(value is None or value >= least, name, f"at least {least}")
        enough = self.simulations == 0 or self.simulations >= 10
        self.require(enough, "simulations", "0, or at least 10")


def check(
    run: Run,
    data: Observations | Mapping[str, Tensor],
    *,
    budget: Budget | None = None,
    seed: int = 0,
    progress: bool = True,
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
        progress: Show what goes on, if there is a terminal.

    Returns:
        A verdict with its reasons, numbers and pictures. Print it, or `save` it as one HTML page.

    Raises:
        ConfigError: A number is out of range, or model and guide break the contract.
        DataError: There are no data, or some are not finite.
    """
    budget = budget or Budget()
    some = _first(data, budget.data)
    stages = 1 + sum(map(bool, (budget.simulations, budget.refine != 0, budget.reference)))
    with stage_progress(stages, enabled=progress) as begin:
        begin("drawing")
        idata = _drawn(run, run.guide, some, budget, seed, GROUPS)
        site = getattr(run.model, "checked_site", None)
        importance, predictive = (
            importance_sampling(idata),
            predictive_check(idata, site, seed=seed),
        )
        sensitivity, coverages = prior_sensitivity(idata, seed=seed), coverages_of(idata, seed)
        calibration = None
        if budget.simulations:
            begin("calibrating")
            calibration = simulation_based_calibration(
                run.model, run.guide, some, simulations=budget.simulations, seed=seed
            )
        judged = [each for each in (calibration, *coverages.values()) if each is not None]
        level = _level(importance, concerned=any(each.concerns for each in judged))
        guides, sections = {"guide": run.guide}, [of_importance(importance)]
        steps = _STEPS if budget.refine is None else budget.refine
        if level == "bad" and steps:
            size = coordinates_of(run.model, run.guide, some)
            if budget.refine is None and size > _WIDE:
                sections.append(left_out(size, steps))
            else:
                begin("refining")
                refined = refine(run.model, run.guide, some, steps=steps, seed=seed)
                guides["refined guide"] = refined
                repaired = _drawn(run, refined, some, budget, seed, _OF_REPAIR)
                sections.append(of_refinement(importance, coverages, repaired, steps, seed))
        if calibration is not None:
            sections.append(of_calibration(calibration))
        sections += [of_coverage(name, coverage) for name, coverage in coverages.items()]
        if budget.reference:
            begin("running chains")
            sections.append(_of_chains(run, guides, some, budget, seed))
    sections += [*of_speeds(idata, seed), of_predictions(predictive), of_sensitivity(sensitivity)]
    reasons = [concern for each in (importance, *judged, predictive) for concern in each.concerns]
    reasons += run.settings.get("alarms", [])
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


def _drawn(
    run: Run,
    guide: nn.Module,
    data: Observations | Mapping[str, Tensor],
    budget: Budget,
    seed: int,
    groups: Collection[str],
) -> arviz.InferenceData:
    return posterior(
        run.model, guide, data, draws=budget.draws, seed=seed, groups=groups, progress=False
    )


def _of_chains(
    run: Run,
    guides: Mapping[str, nn.Module],
    data: Observations | Mapping[str, Tensor],
    budget: Budget,
    seed: int,
) -> Section:
    """Run chains from the last of some guides, and compare all of them with these."""
    few = _first(data, budget.reference)
    rows = few if isinstance(few, Mapping) else few.batch(torch.arange(len(few)))
    chains = reference_posterior(run.model, [*guides.values()][-1], rows, seed=seed)
    drawn = {
        name: _drawn(run, guide, rows, budget, seed, ("posterior",))
        for name, guide in guides.items()
    }
    distances = {name: distance_to_reference(each, chains) for name, each in drawn.items()}
    return of_reference(distances, count=len(next(iter(rows.values()))))


class _First:
    """The first data of a split, with what is known of their truth."""

    def __init__(self, data: Observations, count: int) -> None:
        self._data, self._count = data, min(count, len(data))
        truth: Any = getattr(data, "truth", None) or {}
        known = truth if isinstance(truth, Mapping) else vars(truth)
        said = {n: getattr(truth, n) for n in ("dims", "factors", "units") if hasattr(truth, n)}
        self.truth = said | {
            name: value[: self._count] if isinstance(value, Tensor | np.ndarray) else value
            for name, value in known.items()
        }

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


def _level(importance: Importance, *, concerned: bool) -> str:
    if float(importance.usable.mean()) < NEARLY_ALL:
        return "bad"
    return "resample" if concerned else "good"

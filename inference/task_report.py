"""What a run learned from many tasks: a table of figures and the pictures that go with it.

Works for any model that `adapt` works for, whose posterior has weights of (task, output, feature)
and features of (task, point, feature); what the truth does not tell is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..zoo.errors import DataError
from .adaptation import adapt
from .metrics.disentanglement import disentanglement
from .metrics.importances import Importances, dci
from .metrics.recovery import mean_correlation
from .metrics.supports import feature_use, support_f1
from .report import Findings
from .run import Run
from .sealed import write_whole
from .task_pictures import Scores, draw_pictures, heads_of, variable_with

if TYPE_CHECKING:
    import arviz

__all__ = ["draw_task_pictures", "few_shot_scores", "task_report"]

_MOST = 200  # tasks
_CODES = 3000  # points on which codes are scored
_BINS, _TREES = 5, 30
_MANY_VALUES = 40  # of a factor: then it is continuous
_LABELS = (5, 10, 25, 50, 100)
_GROUPS = ("posterior", "sample_stats", "observed_data", "constant_data")


def task_report(
    run: Run,
    data: Any,  # noqa: ANN401 - any data set of tasks
    folder: Path,
    *,
    draws: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> Findings:
    """Measure a run on new tasks, and write table, posterior and pictures to its folder.

    Args:
        run: The run.
        data: Its data set; the test split is used, up to 200 tasks.
        folder: Where `report.json`, `posterior.nc` and `figures/` go.
        draws: Number of posterior draws of each task.
        seed: Of all draws.
        progress: Show a bar while the posterior is drawn, if there is a terminal.
    """
    split = data.test.first(_MOST)
    folder.mkdir(parents=True, exist_ok=True)
    where = folder / "posterior.nc"
    idata = run.posterior(
        split, draws=draws, seed=seed, groups=_GROUPS, out=where, progress=progress
    )
    scores = _scores(run, split, seed)
    figures: dict[str, float | list[float]] = {
        f"{name} from {count} labels": float(each.mean())
        for count, found in scores.items()
        for name, each in found.items()
        if len(each)
    }
    known = _known(idata, split, seed)
    figures |= _of_features(idata, known, split, seed)
    findings = Findings(figures, ())
    text = json.dumps(findings.by_name(), indent=2) + "\n"
    write_whole(folder / "report.json", lambda path: path.write_text(text))
    importances = None if known is None else known.importances
    draw_pictures(run, scores, idata, importances, split, folder / "figures")
    return findings


def few_shot_scores(
    run: Run,
    split: Any,  # noqa: ANN401 - a split of tasks
    count: int,
    *,
    seed: int = 0,
) -> dict[str, Float[np.ndarray, " task"]]:
    """Score predictions of the labels of new tasks from the first few of them.

    Args:
        run: A run.
        split: New tasks; left out are those with no further labels, those whose first labels are of
            one class, and those with fewer of these than classes.
        count: How many labels are told.
        seed: Of the draws of heads.

    Returns:
        `accuracy` of each task of classes, and `R²`, the explained share of the variance, of each
        task of numbers.

    Raises:
        DataError: No task is left.
    """
    batch = split.observations
    order = batch["observed"].cumsum(1)
    told, asked = (
        batch["observed"] & (order <= count),
        batch["observed"] & (order > count),
    )
    kept = asked.any(1) & _enough_told(batch["labels"], told, batch["classes"])
    if not bool(kept.any()):
        raise DataError(
            f"Found no task with more than {count} labels, of which the first {count} hold two "
            "classes or more, so that nothing is left to be predicted. Tell fewer."
        )
    inputs, labels, classes = (batch[name][kept] for name in ("inputs", "labels", "classes"))
    found = adapt(
        run, inputs, labels, inputs, classes=classes, observed=told[kept], draws=100, seed=seed
    )
    right = (found.label.cpu() == labels).float()
    accuracy = _mean(right, asked[kept])
    error = _mean((found.mean.cpu() - labels).square(), asked[kept])
    middle = _mean(labels, asked[kept])[:, None]
    spread = _mean((labels - middle).square(), asked[kept]).clamp(min=1e-12)
    number = classes == 0
    return {
        "accuracy": accuracy[~number].numpy(),
        "R²": (1 - error / spread)[number].numpy(),
    }


def draw_task_pictures(
    run: Run,
    split: Any,  # noqa: ANN401 - a split of tasks
    folder: Path,
    *,
    draws: int,
    seed: int,
) -> None:
    """Draw heads, importances, few-shot curves, training and use as PNG files in `folder`.

    Args:
        run: The run.
        split: New tasks.
        folder: Where the files go.
        draws: Number of posterior draws of each task.
        seed: Of the draws.
    """
    split = split.first(_MOST)
    idata = run.posterior(split, draws=draws, seed=seed, groups=("posterior", "constant_data"))
    known = _known(idata, split, seed)
    importances = None if known is None else known.importances
    draw_pictures(run, _scores(run, split, seed), idata, importances, split, folder)


def _of_features(
    idata: arviz.InferenceData,
    known: _Known | None,
    split: Any,  # noqa: ANN401 - a split of tasks
    seed: int,
) -> dict[str, float]:
    drawn = heads_of(idata, split)
    weights = drawn.mean(0) * ((drawn != 0).mean(0) > 0.5)
    use = feature_use(weights) if weights.any() else None
    figures: dict[str, float] = {
        "features that tasks use": 0.0 if use is None else float(use.used),
        "features of a task": 0.0 if use is None else use.per_task,
    }
    if known is None:
        return figures
    codes, factors = known.codes, known.factors
    truth = idata["constant_data"]
    if "support" in truth:
        support = truth["support"].to_numpy()
        figures["factors of a task"] = float(support.sum(1).mean())
        match = mean_correlation(codes, factors).code_of_factor
        right = 0.0 if use is None else support_f1(use.active, support, match)
        figures["F1 of which factors a task depends on"] = right
    found = known.importances
    scores = disentanglement(codes, factors, bins=known.bins, importances=found, seed=seed)
    return figures | {
        f"{name} of {_TREES} trees" if "DCI" in name else name: value
        for name, value in scores.items()
    }


@dataclass(frozen=True, eq=False)
class _Known:
    """Mean features of some points, their true factors, bins if these are continuous."""

    codes: Float[np.ndarray, "point feature"]
    factors: Float[np.ndarray, "point factor"]
    bins: int | None
    importances: Importances


def _known(
    idata: arviz.InferenceData,
    split: Any,  # noqa: ANN401 - a split of tasks
    seed: int,
) -> _Known | None:
    """Return what is known of labelled points; None if factors are not, or never change."""
    if "factor_value" not in idata.get("constant_data", {}):
        return None
    factors = idata["constant_data"]["factor_value"].to_numpy()
    codes = variable_with(idata, "point").mean(0)
    there = split.observations["observed"].numpy()  # where a task has fewer points, is padding
    codes, factors = codes[there], factors[there]
    rows = np.random.default_rng(seed).permutation(len(codes))[:_CODES]
    codes, factors = codes[rows], factors[rows]
    if (np.ptp(factors, axis=0) == 0).any():
        return None
    many = max(len(np.unique(column)) for column in factors.T) > _MANY_VALUES
    bins = _BINS if many else None
    try:
        importances = dci(codes, factors, bins=bins, trees=_TREES, seed=seed)
    except DataError:  # a class so rare that none of the points to learn from has another
        return None
    return _Known(codes, factors, bins, importances)


def _enough_told(
    labels: Float[Tensor, "task point"], told: Bool[Tensor, "task point"], classes: Tensor
) -> Bool[Tensor, " task"]:
    """Return which tasks have labels of two values among those that are told, and enough."""
    least = torch.where(told, labels, torch.inf).amin(1)
    most = torch.where(told, labels, -torch.inf).amax(1)
    return (least < most) & (told.sum(1) >= classes)


def _scores(run: Run, split: Any, seed: int) -> Scores:  # noqa: ANN401 - a split of tasks
    """Return scores by number of labels, of those tasks that have enough for all numbers."""
    batch = split.observations
    counts = _counts(split)
    told = batch["observed"] & (batch["observed"].cumsum(1) <= min(counts, default=0))
    enough = batch["observed"].sum(1) > max(counts, default=0)
    enough &= _enough_told(batch["labels"], told, batch["classes"])
    if not bool(enough.any()):
        return {}
    tasks = split.some(enough.nonzero().flatten())
    return {count: few_shot_scores(run, tasks, count, seed=seed) for count in counts}


def _counts(split: Any) -> list[int]:  # noqa: ANN401 - a split of tasks
    """Return numbers of labels that leave most tasks as many to be predicted."""
    batch = split.observations
    least = max(2, int(batch["classes"].max()))
    most = float(batch["observed"].sum(1).float().median()) / 2
    return [count for count in _LABELS if least <= count <= most]


def _mean(values: Float[Tensor, "task point"], where: Tensor) -> Float[Tensor, " task"]:
    return (values * where).sum(1) / where.sum(1).clamp(min=1)

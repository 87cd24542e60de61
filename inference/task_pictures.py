"""Pictures of what a run learned from many tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..zoo.distributions import outputs_of
from .metrics.importances import Importances
from .run import Run
from .sealed import write_whole

if TYPE_CHECKING:
    import arviz
    from matplotlib.figure import Figure

__all__ = ["Scores", "draw_pictures", "heads_of", "names_of_tasks", "variable_with"]

_SHOWN = 40  # tasks in the picture of heads
_SMALL = 0.2  # share of a task's largest weight below which a feature hardly counts

# Scores of each task, by their name, by number of labels.
Scores = dict[int, dict[str, np.ndarray]]


def draw_pictures(
    run: Run,
    scores: Scores,
    idata: arviz.InferenceData,
    importances: Importances | None,
    split: Any,  # noqa: ANN401 - a split of tasks
    folder: Path,
) -> None:
    """Draw heads, importances, few-shot curves, training and use as PNG files in `folder`.

    Args:
        run: The run.
        scores: Of new tasks.
        idata: Their posterior.
        importances: Of features for factors, where these are known.
        split: The tasks.
        folder: Where the files go.
    """
    from .plots import plot_few_shot, plot_heads, plot_importance, plot_training, plot_use
    from .plots.use import USE

    folder.mkdir(parents=True, exist_ok=True)
    _save(plot_training(run.history), folder / "training.png")
    if any(name.startswith(USE) for row in run.history for name in row):
        _save(plot_use(run.history), folder / "use.png")
    drawn, names = heads_of(idata, split), names_of_tasks(idata, split)
    order = _shown(names)
    inclusion = _inclusion(np.linalg.norm(drawn, axis=-2))
    figure = plot_heads(
        _as_one_output(drawn.mean(0))[order],
        inclusion=inclusion[order],
        tasks=[names[task] for task in order],
    )
    _save(figure, folder / "heads.png")
    for name, file in (("accuracy", "few_shot"), ("R²", "few_shot_numbers")):
        curve = [found[name] for found in scores.values()]
        if curve and len(curve[0]):
            figure = plot_few_shot([*scores], {"new tasks": np.stack(curve)}, score=name)
            _save(figure, folder / f"{file}.png")
    if importances is not None:
        names = idata["constant_data"]["factor"].to_numpy().tolist()
        _save(plot_importance(importances, factors=names), folder / "importance.png")


def variable_with(
    idata: arviz.InferenceData, axis: str
) -> Float[np.ndarray, "draw task _ feature"]:
    """Return draws of what has this axis between those of task and feature."""
    for variable in idata["posterior"].data_vars.values():
        if variable.dims[-3:] == ("task", axis, "feature") and variable.name != "spread":
            drawn: np.ndarray = variable.to_numpy()[0]
            return drawn
    raise KeyError(axis)


def heads_of(
    idata: arviz.InferenceData,
    split: Any,  # noqa: ANN401 - a split of tasks
) -> Float[np.ndarray, "draw task output feature"]:
    """Return draws of weights, zero for outputs that a task does not use."""
    drawn = variable_with(idata, "output")
    used = outputs_of(split.observations["classes"], drawn.shape[-2]).numpy()
    return drawn * used[..., None]


def _shown(names: list[str]) -> list[int]:
    """Return tasks to show, by name: as many different ones as there is room for."""
    earlier = [names[:task].count(name) for task, name in enumerate(names)]
    chosen = sorted(range(len(names)), key=lambda task: (earlier[task], names[task]))[:_SHOWN]
    return sorted(chosen, key=lambda task: (names[task], task))


def _as_one_output(
    weights: Float[np.ndarray, "task output feature"],
) -> Float[np.ndarray, "task feature"]:
    """Return the weights of tasks of one output, and the sizes of those of several."""
    several = (weights[:, 1:] != 0).any((1, 2))[:, None]
    return np.where(several, np.linalg.norm(weights, axis=1), weights[:, 0])


def names_of_tasks(idata: arviz.InferenceData, split: Any) -> list[str]:  # noqa: ANN401
    """Return what each task is about, if that is one label, and how many classes it has."""
    count = len(split.observations["classes"])
    known: Any = idata.get("constant_data", {})
    support = known.get("support")
    if support is None or (support.to_numpy().sum(1) != 1).any():
        return [f"{task:0{len(str(count))}d}" for task in range(count)]
    names = support["factor"].to_numpy()[support.to_numpy().argmax(1)]
    kinds = split.observations["classes"].tolist()
    return [
        f"{name}, {kind} classes" if kind >= 3 else str(name)
        for name, kind in zip(names, kinds, strict=True)
    ]


def _inclusion(
    sizes: Float[np.ndarray, "draw task feature"],
) -> Float[np.ndarray, "task feature"]:
    """Return how probable it is that a weight is not zero, or, where none ever is, not small."""
    least = 0.0 if (sizes == 0).any() else _SMALL * sizes.max(-1, keepdims=True)
    found: np.ndarray = (sizes > least).mean(0)
    return found


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png"))

"""The pictures that `report` leaves beside its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from ..zoo.datasets import AbstractSplit
from .angles import angles_of
from .block_pictures import draw_block_pictures
from .forecast import forecast
from .metrics.matching import match_fields, sparse_mean
from .posterior import predict_mean
from .run import Run
from .sealed import write_whole
from .traversal import traverse

if TYPE_CHECKING:
    import arviz
    from matplotlib.figure import Figure

__all__ = ["draw_pictures"]

_NAMES = (
    "training",
    "frames",
    "activity",
    "traversals",
    "speeds",
    "correlation",
    "angles",
    "confusion",
    "orbit",
    "parts",
    "blocks",
    "matching",
    "presence",
    "support",
)
_SHOWN, _COLUMNS = 3, 16
_SPEEDS = (-1.0, -0.5, 0.5, 1.0)


def draw_pictures(
    run: Run, split: AbstractSplit, idata: arviz.InferenceData, folder: Path, *, seed: int
) -> None:
    """Draw what the model, the data and their truth offer, as PNG files in `folder`.

    Args:
        run: The run.
        split: Held-out sequences.
        idata: The posterior of the same sequences.
        folder: Where the files go.
        seed: Of the draw that frames are reconstructed from.
    """
    from .plots import plot_activity, plot_correlation, plot_training

    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    columns = {name: [row[name] for row in run.history] for name in run.history[0]}
    _save(plot_training(columns), folder / "training.png")
    _save(_frames(run, split, seed), folder / "frames.png")
    if (angles := angles_of(run, idata)) is not None:
        from .plots import plot_angles

        _save(plot_angles(angles), folder / "angles.png")
    if "transformation" in idata["posterior"]:
        _draw_elements(run, split, idata, folder, seed)
    draw_block_pictures(run, split, idata, folder, seed=seed)
    if "spike" not in idata["posterior"]:
        return
    shown = range(min(_SHOWN, len(split)))
    _save(plot_activity(idata, sequences=shown), folder / "activity.png")
    _save(_traversals(run, split, idata, seed), folder / "traversals.png")
    truth: Any = idata.get("constant_data", {})
    if "speed" in truth:
        from .plots import plot_speeds

        _save(plot_speeds(idata, sequences=shown), folder / "speeds.png")
        speed = sparse_mean(idata["posterior"]["speed"].to_numpy()[0])
        figure = plot_correlation(
            match_fields(speed, truth["speed"].to_numpy()),
            factors=truth["factor"].to_numpy().tolist(),
            fields=idata["posterior"]["field"].to_numpy().tolist(),
        )
        _save(figure, folder / "correlation.png")


def _draw_elements(
    run: Run, split: AbstractSplit, idata: arviz.InferenceData, folder: Path, seed: int
) -> None:
    """Draw which element is inferred where which acted, and what each makes of an image."""
    from .elements import accuracy_of
    from .orbit import walk_orbit
    from .plots import plot_confusion, plot_orbit

    elements = idata["posterior"]["element"].to_numpy().tolist()
    if (found := accuracy_of(run, idata)) is not None:
        _save(plot_confusion(found, elements=elements), folder / "confusion.png")
    images = split.batch(torch.arange(min(_SHOWN, len(split))))["images"]
    walked = walk_orbit(run.model, run.guide, images, seed=seed).clamp(0, 1)
    shown = range(min(len(elements), _COLUMNS))
    rows = {f"sequence {k}": strip[: len(shown)] for k, strip in enumerate(walked)}
    _save(plot_orbit(rows, elements=[elements[k] for k in shown]), folder / "orbit.png")


def _frames(run: Run, split: AbstractSplit, seed: int) -> Figure:
    """Draw frames seen, reconstructed from all of them, and forecast from the first half."""
    from .plots import plot_frames

    images = split.batch(torch.arange(min(_SHOWN, len(split))))["images"]
    reconstructed = predict_mean(run.model, run.guide, {"images": images}, draws=8, seed=seed)
    seen = (images.shape[1] + 1) // 2
    carried = None
    if seen >= 2 and any("time" in axes for axes in cast(Any, run.model).dims.values()):
        carried = forecast(run.model, run.guide, images, seen=seen, seed=seed)
    return plot_frames(
        images, reconstructed, carried, seen_frames=seen, sequences=range(len(images))
    )


def _traversals(run: Run, split: AbstractSplit, idata: arviz.InferenceData, seed: int) -> Figure:
    """Draw what each field by itself does to the first sequence."""
    from .plots import plot_traversals

    images = split.batch(torch.arange(1))["images"]
    frames = traverse(run.model, run.guide, images, speeds=_SPEEDS, seed=seed)
    fields = idata["posterior"]["field"].to_numpy().tolist()
    return plot_traversals(frames[0], _SPEEDS, fields=fields)


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda beside: figure.savefig(beside, format="png"))

"""The pictures that `report` leaves beside its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..zoo.datasets import AbstractSplit
from .run import Run

if TYPE_CHECKING:
    import arviz

__all__ = ["draw_pictures"]


def draw_pictures(
    run: Run, split: AbstractSplit, idata: arviz.InferenceData, folder: Path, *, seed: int
) -> None:
    """Draw what the model, the data and their truth offer, as PNG files in `folder`."""

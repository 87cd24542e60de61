"""How well a run infers by which angle images turned, where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from .metrics.angles import AngleAgreement, angle_agreement
from .run import Run

if TYPE_CHECKING:
    import arviz

__all__ = ["angles_of"]


def angles_of(run: Run, idata: arviz.InferenceData) -> AngleAgreement | None:
    """Return how `angle` in a posterior goes with the steps that `acted`.

    Args:
        run: A run of a model that has `label_angle`, which turns steps into angles.
        idata: A posterior of data whose truth says which step acted.

    Returns:
        The agreement; None where the model, its posterior or the truth lack what it takes.
    """
    label_angle = getattr(cast(Any, run.model), "label_angle", None)
    truth: Any = idata.get("constant_data", {})
    if label_angle is None or "angle" not in idata["posterior"] or "acted" not in truth:
        return None
    acted = torch.as_tensor(truth["acted"].to_numpy())
    angle = idata["posterior"]["angle"]
    if angle.dims[2:] != truth["acted"].dims:  # one angle throughout, of what changes
        return None
    draws = angle.to_numpy().reshape(-1, len(acted))
    return angle_agreement(draws, label_angle(acted).cpu().numpy())

"""How well a run infers which element of a group acted, where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .metrics.elements import ElementAccuracy, element_accuracy
from .run import Run

if TYPE_CHECKING:
    import arviz

__all__ = ["accuracy_of"]


def accuracy_of(run: Run, idata: arviz.InferenceData) -> ElementAccuracy | None:
    """Return how `transformation` in a posterior goes with what `acted`, up to an automorphism.

    Args:
        run: A run of a model that has a `group`, see `FiniteGroup`.
        idata: A posterior of data whose truth says what acted.

    Returns:
        The accuracy; None where the model, its posterior or the truth lack what it takes.
    """
    group = getattr(cast(Any, run.model), "group", None)
    truth: Any = idata.get("constant_data", {})
    if group is None or "transformation" not in idata["posterior"] or "acted" not in truth:
        return None
    probability = idata["posterior"]["transformation"].mean(("chain", "draw")).to_numpy()
    acted = truth["acted"].to_numpy()
    if acted.shape != probability.shape[:-1]:  # what always acts, inferred anew each time
        acted = np.broadcast_to(acted[:, None], probability.shape[:-1])
    return element_accuracy(
        probability.reshape(-1, len(group)), acted.reshape(-1), group.automorphisms()
    )

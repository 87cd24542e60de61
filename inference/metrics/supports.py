"""Which features tasks use, and whether those are the factors that they depend on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ...zoo.errors import ConfigError, DataError
from .arrays import Array, checked

__all__ = ["FeatureUse", "feature_use", "support_f1"]


@dataclass(frozen=True, eq=False)
class FeatureUse:
    """How tasks share features.

    Attributes:
        active: Whether a task uses a feature, (task, feature).
        share: Of the sizes of all weights of all tasks, each task counted alike, by feature.
        used: Number of features of more than 1 % of that.
        per_task: Mean number of features that a task uses.
    """

    active: Bool[np.ndarray, "task feature"]
    share: Float[np.ndarray, " feature"]
    used: int
    per_task: float


def feature_use(
    weights: Shaped[Array, "task *output feature"],
    *,
    threshold: float = 0.05,
) -> FeatureUse:
    """Say which features tasks use: those of more than 5 % of the task's largest weight.

    Args:
        weights: Of heads, on features of one scale; several outputs are summed in size.
        threshold: Share of the largest weight of a task above which a feature is used.

    Raises:
        ConfigError: The threshold is not between 0 and 1.
        DataError: A weight is not finite, there are other axes, or all are zero.
    """
    if not 0 <= threshold < 1:
        raise ConfigError(f"Found threshold={threshold}, but a share from 0 to below 1 is needed.")
    sizes = np.abs(checked(weights, "weights", ("...", "task", "feature")))
    sizes = sizes.reshape(len(sizes), -1, sizes.shape[-1]).sum(1)
    largest = sizes.max(1, keepdims=True)
    if not largest.any():
        raise DataError("Found heads whose weights are all zero: no task uses any feature.")
    active = sizes > threshold * largest
    relative = sizes / np.where(largest > 0, sizes.sum(1, keepdims=True), 1.0)
    share = relative.sum(0) / relative.sum()
    return FeatureUse(active, share, int((share > 0.01).sum()), float(active.sum(1).mean()))


def support_f1(
    active: Bool[Array, "task feature"],
    support: Bool[Array, "task factor"],
    code_of_factor: Int[np.ndarray, " factor"],
) -> float:
    """Return the harmonic mean of precision and recall of "the task uses the factor's feature".

    Features that are matched to no factor count as used in vain.

    Args:
        active: Whether a task uses a feature.
        support: Whether it depends on a factor.
        code_of_factor: The feature of each factor; -1 where there is none. See `mean_correlation`.

    Raises:
        DataError: They are of different tasks or factors.
    """
    found = checked(active, "active", ("task", "feature")) > 0
    true = checked(support, "support", ("task", "factor")) > 0
    if len(found) != len(true) or true.shape[1] != len(code_of_factor):
        raise DataError(
            f"Found features of {len(found)} tasks, factors of {len(true)}, and features matched "
            f"to {len(code_of_factor)} of {true.shape[1]} factors. Give those of the same ones."
        )
    matched = code_of_factor >= 0
    right = (found[:, code_of_factor[matched]] & true[:, matched]).sum()
    return float(2 * right / max(found.sum() + true.sum(), 1))

"""How little other factors move a code while its own is held (IRS)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from ...zoo.errors import ConfigError, DataError
from .arrays import Array
from .factors import as_classes, codes_and_factors

__all__ = ["Robustness", "interventional_robustness"]


@dataclass(frozen=True, eq=False)
class Robustness:
    """Interventional robustness (Suter, Miladinović, Schölkopf & Bauer, ICML 2019).

    Attributes:
        scores: 1 minus how far a code strays from its mean while a factor is held, as a share of
            how far it strays at all, (code, factor); NaN for codes that never change.
        parent_of_code: The factor that holds each code best; -1 for codes that never change.
        score: Mean of the best scores, codes weighted by how far they stray.
    """

    scores: Float[np.ndarray, "code factor"]
    parent_of_code: Int[np.ndarray, " code"]
    score: float


def interventional_robustness(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    bins: int | None = None,
    quantile: float = 0.99,
) -> Robustness:
    """Hold each factor at each of its values and see how far codes stray.

    Data should hold values of factors independently of each other, as often each.

    Args:
        codes: What is scored.
        factors: True ones of the same data.
        bins: None for factors that are classes; else so many classes of equal size are made.
        quantile: Of the distances within a value; 1 is the published maximum, 0.99 is usual.

    Raises:
        ConfigError: There are fewer than 2 bins, or the quantile is not in (0, 1].
        DataError: Shapes do not fit, a number is not finite, a factor never changes or has too many
            distinct values to be classes, or no code ever changes.
    """
    if not 0 < quantile <= 1:
        raise ConfigError(f"Found quantile={quantile}, but a number above 0 and up to 1 is needed.")
    found, true = codes_and_factors(codes, factors)
    classes = as_classes(true, bins)
    furthest = np.abs(found - found.mean(0)).max(0)
    moving = np.ptp(found, axis=0) > 0
    if not moving.any():
        raise DataError("Found codes that never change. Give codes of data that differ.")
    strayed = np.column_stack([_strayed(found, labels, quantile) for labels in classes.T])
    scores = np.full(strayed.shape, np.nan)
    scores[moving] = 1 - strayed[moving] / furthest[moving, None]
    parents = np.full(len(scores), -1)
    parents[moving] = scores[moving].argmax(1)
    return Robustness(
        scores, parents, float(np.average(scores[moving].max(1), weights=furthest[moving]))
    )


def _strayed(
    codes: Float[np.ndarray, "datum code"], labels: Int[np.ndarray, " datum"], quantile: float
) -> Float[np.ndarray, " code"]:
    """Return how far codes stray from their mean at a value, mean over values."""
    groups = [codes[labels == value] for value in range(labels.max() + 1)]
    each = [np.quantile(np.abs(own - own.mean(0)), quantile, axis=0) for own in groups]
    mean: np.ndarray = np.mean(each, axis=0)
    return mean

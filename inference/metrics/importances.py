"""Disentanglement, completeness and informativeness of codes (DCI)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from ...zoo.errors import ConfigError, DataError
from .arrays import Array, checked
from .factors import as_classes, check_told, codes_and_factors, split

__all__ = ["Importances", "dci", "importance_scores"]


@dataclass(frozen=True, eq=False)
class Importances:
    """Which codes tell which factors (Eastwood & Williams, ICLR 2018).

    Attributes:
        importance: How much each code matters for telling each factor, (code, factor), at least 0.
        disentanglement: 1 if each code tells a single factor, 0 if all factors alike: one minus the
            entropy of its importances, to the base of the number of factors, averaged over codes by
            how much they matter.
        completeness: 1 if each factor is told by a single code: likewise over codes. Codes that
            repeat each other lower it, and leave disentanglement as it is.
        informativeness: Share of held-out data whose factors are told; NaN where only importances
            were given.
    """

    importance: Float[np.ndarray, "code factor"]
    disentanglement: float
    completeness: float
    informativeness: float


def dci(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    bins: int | None = None,
    trees: int = 100,
    train: float = 2 / 3,
    seed: int = 0,
) -> Importances:
    """Score codes by gradient-boosted trees that tell factors from them.

    As in the comparison of Locatello et al. (ICML 2019): for each factor a classifier of `trees`
    boosting rounds of depth 3 at a learning rate of 0.1, whose importances are those of impurity.
    Scores of different numbers of trees, bins and data do not compare: say them beside the score.

    Args:
        codes: What is scored.
        factors: True ones of the same data.
        bins: None for factors that are classes; else so many classes of equal size are made.
        trees: Rounds of boosting.
        train: Share of the data, in order, that classifiers learn from; the rest gives
            informativeness.
        seed: Of the classifiers.

    Raises:
        ConfigError: There are fewer than 2 bins or 1 tree, or the share is not between 0 and 1.
        DataError: Shapes do not fit, a number is not finite, a factor never changes or has too many
            distinct values to be classes, or data to learn from have a single class.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    if trees < 1:
        raise ConfigError(f"Found trees={trees}, but at least 1 is needed.")
    found, true = codes_and_factors(codes, factors)
    classes = as_classes(true, bins)
    first = split(len(found), train)
    importance, accuracy = np.zeros((found.shape[1], true.shape[1])), np.zeros(true.shape[1])
    for factor, labels in enumerate(classes.T):
        check_told(labels[:first], factor)
        classifier = GradientBoostingClassifier(n_estimators=trees, random_state=seed)
        classifier.fit(found[:first], labels[:first])
        importance[:, factor] = np.maximum(classifier.feature_importances_, 0)  # but for rounding
        accuracy[factor] = (classifier.predict(found[first:]) == labels[first:]).mean()
    return importance_scores(importance, informativeness=float(accuracy.mean()))


def importance_scores(
    importance: Shaped[Array, "code factor"], *, informativeness: float = float("nan")
) -> Importances:
    """Score importances of any origin, such as the sizes of linear weights.

    Args:
        importance: How much each code matters for each factor.
        informativeness: What is known of it.

    Raises:
        DataError: One is negative or not finite, or all are zero.
    """
    matrix = checked(importance, "importances", ("code", "factor"))
    if (matrix < 0).any() or not matrix.any():
        raise DataError(
            "Found negative importances, or only zeros. Give sizes, of which some are positive."
        )
    return Importances(
        matrix,
        _average_concentration(matrix),
        _average_concentration(matrix.T),
        informativeness,
    )


def _average_concentration(rows: Float[np.ndarray, "row column"]) -> float:
    """Return the mean over rows, by their sums, of one minus the entropy of each."""
    sums = rows.sum(1)
    share = rows / np.maximum(sums, np.finfo(float).tiny)[:, None]
    log = np.log(np.where(share > 0, share, 1.0))
    entropy = -(share * log).sum(1) / max(np.log(rows.shape[1]), np.finfo(float).tiny)
    return float(np.average(1 - entropy, weights=sums))

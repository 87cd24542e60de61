"""How much better the best code predicts a factor than the second does (SAP)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from .arrays import Array, correlations
from .factors import as_classes, check_told, codes_and_factors, split

__all__ = ["Separability", "separability"]


@dataclass(frozen=True, eq=False)
class Separability:
    """Separated attribute predictability (Kumar, Sattigeri & Balakrishnan, ICLR 2018).

    Attributes:
        scores: How well each code by itself predicts each factor, (code, factor).
        score: Best minus second best, mean over factors; 0 for codes that repeat each other.
    """

    scores: Float[np.ndarray, "code factor"]
    score: float


def separability(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    continuous: bool = False,
    train: float = 2 / 3,
    seed: int = 0,
) -> Separability:
    """Predict each factor from each code by itself.

    Args:
        codes: What is scored.
        factors: True ones of the same data.
        continuous: Whether the score of a pair is its squared correlation; else it is the held-out
            accuracy of a balanced linear support vector machine with C = 0.01.
        train: Share of the data, in order, that the machines learn from.
        seed: Of the machines.

    Raises:
        ConfigError: The share is not between 0 and 1.
        DataError: Shapes do not fit, a number is not finite, or a factor never changes or, unless
            continuous, has too many distinct values to be classes or a single one in the data to
            learn from.
    """
    found, true = codes_and_factors(codes, factors)
    if continuous:
        scores = correlations(found, true) ** 2
    else:
        first, classes = split(len(found), train), as_classes(true, None)
        for factor, labels in enumerate(classes.T):
            check_told(labels[:first], factor)
        scores = np.array(
            [[_accuracy(code, labels, first, seed) for labels in classes.T] for code in found.T]
        )
    ordered = np.sort(np.vstack([scores, np.zeros(true.shape[1])]), axis=0)
    return Separability(scores, float((ordered[-1] - ordered[-2]).mean()))


def _accuracy(
    code: Float[np.ndarray, " datum"], labels: Int[np.ndarray, " datum"], first: int, seed: int
) -> float:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
    machine.fit(code[:first, None], labels[:first])
    return float((machine.predict(code[first:, None]) == labels[first:]).mean())

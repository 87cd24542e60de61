"""Scores of codes by the information that each of them holds of each factor."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ...zoo.errors import ConfigError
from .arrays import Array
from .factors import as_classes, codes_and_factors

__all__ = ["InfoMEC", "SharedInformation", "info_mec", "shared_information"]

_NEIGHBOURS = 10  # of the estimator in Hsu et al. 2023
_LEAST_RANGE = 1 / 20  # of the widest code, below which one counts as pruned


@dataclass(frozen=True, eq=False)
class SharedInformation:
    """What codes say of factors, each code by itself.

    Attributes:
        information: Mutual information of each code with each factor in nats, (code, factor).
        entropy: Of each factor, in nats.
        gap: Mutual information gap (MIG; Chen et al., NeurIPS 2018): how much more the best code
            says of a factor than the second does, as a share of its entropy, mean over factors. 0
            for codes that repeat each other.
        modularity: Ridgeway & Mozer (NeurIPS 2018): 1 if each code says something of one factor
            only, mean over codes; codes that say nothing count 0.
    """

    information: Float[np.ndarray, "code factor"]
    entropy: Float[np.ndarray, " factor"]
    gap: float
    modularity: float


def shared_information(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    bins: int | None = None,
    code_bins: int = 20,
) -> SharedInformation:
    """Count how often values of codes and of factors meet.

    Args:
        codes: What is scored; at least two.
        factors: True ones of the same data.
        bins: None for factors that are classes; else so many classes of equal size are made.
        code_bins: So many bins of equal width has each code; 20 are usual, and scores of other
            numbers do not compare.

    Raises:
        ConfigError: There are fewer than 2 bins.
        DataError: Shapes do not fit, a number is not finite, or a factor never changes or has too
            many distinct values to be classes.
    """
    if code_bins < 2:
        raise ConfigError(f"Found code_bins={code_bins}, but at least 2 are needed.")
    found, true = codes_and_factors(codes, factors)
    classes = as_classes(true, bins)
    binned = np.column_stack([_equal_widths(code, code_bins) for code in found.T])
    information = _all_pairs(binned, classes)
    entropy = np.array([_information(labels, labels) for labels in classes.T])
    ordered = np.sort(np.vstack([information, np.zeros_like(entropy)]), axis=0)
    gap = float(((ordered[-1] - ordered[-2]) / entropy).mean())
    return SharedInformation(information, entropy, gap, _modularity(information))


def _modularity(information: Float[np.ndarray, "code factor"]) -> float:
    squared = information**2
    best, others = squared.max(1), squared.shape[1] - 1
    rest = (squared.sum(1) - best) / np.maximum(best * max(others, 1), np.finfo(float).tiny)
    return float(np.where(best > 0, 1 - rest, 0.0).mean())


@dataclass(frozen=True, eq=False)
class InfoMEC:
    """Modularity, explicitness and compactness (Hsu et al., NeurIPS 2023, arXiv:2305.18378).

    Attributes:
        information: Mutual information as a share of the factor's entropy, (code, factor).
        active: Codes that count: those whose range is above a twentieth of the widest.
        modularity: InfoM: 1 if each active code says something of one factor only.
        compactness: InfoC: 1 if of each factor only one active code says something.
        explicitness: InfoE: the share of a factor's entropy that a linear classifier of all codes
            takes away, mean over factors.
    """

    information: Float[np.ndarray, "code factor"]
    active: Bool[np.ndarray, " code"]
    modularity: float
    compactness: float
    explicitness: float


def info_mec(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    bins: int | None = None,
    seed: int = 0,
) -> InfoMEC:
    """Score codes by their information on factors, estimated from nearest neighbours.

    Args:
        codes: What is scored, continuous.
        factors: True ones of the same data; at least two.
        bins: None for factors that are classes; else so many classes of equal size are made.
        seed: Of the noise by which the estimator tells equal codes apart.

    Raises:
        ConfigError: There are fewer than 2 bins.
        DataError: Shapes do not fit, a number is not finite, or a factor never changes or has too
            many distinct values to be classes.
    """
    from sklearn.feature_selection import mutual_info_classif

    found, true = codes_and_factors(codes, factors)
    classes = as_classes(true, bins)
    scale = found.std(0)
    standard = (found - found.mean(0)) / np.where(scale > 0, scale, 1.0)
    information = np.column_stack(
        [
            mutual_info_classif(standard, labels, n_neighbors=_NEIGHBOURS, random_state=seed)
            / _information(labels, labels)
            for labels in classes.T
        ]
    )
    ranges = np.ptp(found, axis=0)
    active = ranges > ranges.max() * _LEAST_RANGE
    kept = information[active]
    explicitness = float(np.mean([_taken_away(standard, labels) for labels in classes.T]))
    return InfoMEC(information, active, _concentration(kept), _concentration(kept.T), explicitness)


def _concentration(rows: Float[np.ndarray, "row column"]) -> float:
    """Return the mean share of the largest of each row, from 0 if all are alike to 1."""
    columns = rows.shape[1]
    if columns < 2 or len(rows) == 0:
        return float(len(rows) > 0)
    sums = rows.sum(1)
    share = np.where(sums > 0, rows.max(1) / np.maximum(sums, np.finfo(float).tiny), 1 / columns)
    return float((share.mean() - 1 / columns) / (1 - 1 / columns))


def _taken_away(codes: Float[np.ndarray, "datum code"], labels: Int[np.ndarray, " datum"]) -> float:
    """Return the share of the entropy of balanced classes that a linear classifier takes away."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    classes = labels.max() + 1
    # Published without a penalty, but then weights of classes that can be told have no bound.
    classifier = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000)
    told = log_loss(labels, classifier.fit(codes, labels).predict_proba(codes))
    return float(1 - told / np.log(classes))


def _equal_widths(code: Float[np.ndarray, " datum"], bins: int) -> Int[np.ndarray, " datum"]:
    return np.digitize(code, np.histogram_bin_edges(code, bins)[:-1])


def _all_pairs(
    codes: Int[np.ndarray, "datum code"], factors: Int[np.ndarray, "datum factor"]
) -> Float[np.ndarray, "code factor"]:
    return np.array([[_information(code, factor) for factor in factors.T] for code in codes.T])


def _information(one: Int[np.ndarray, " datum"], other: Int[np.ndarray, " datum"]) -> float:
    from sklearn.metrics import mutual_info_score

    return float(max(mutual_info_score(one, other), 0.0))

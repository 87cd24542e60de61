"""Which inferred field is which true factor, and how well their speeds agree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment

from ...zoo.errors import DataError
from .arrays import Array, checked, correlations

__all__ = ["Matching", "match_fields", "sparse_mean"]

MINIMUM_FRAMES = 10  # below this a correlation says nothing


@dataclass(frozen=True, eq=False)
class Matching:
    """A one-to-one match of fields to factors.

    Attributes:
        field_of_factor: The field matched to each factor; -1 where there are too few fields.
        correlation: Size of the Pearson correlation of each factor with its field, 0 to 1. Its sign
            says nothing, since a field and its negative move the world alike.
        correlation_matrix: Correlation, with its sign, of every factor with every field over all
            sequences and transitions; 0 where one of them never changes.
        spike_f1: Harmonic mean of precision and recall of "the field moves" as a forecast of "the
            factor moves", for each factor.
        scale: Factor that takes each field's speed to the units of its factor by least squares.
    """

    field_of_factor: Int[np.ndarray, " factor"]
    correlation: Float[np.ndarray, " factor"]
    correlation_matrix: Float[np.ndarray, "factor field"]
    spike_f1: Float[np.ndarray, " factor"]
    scale: Float[np.ndarray, " factor"]


def match_fields(
    inferred: Shaped[Array, "..."], true: Shaped[Array, "..."], *, active_only: bool = False
) -> Matching:
    """Match fields to factors so that the sum of absolute correlations is largest.

    Args:
        inferred: One speed of each field, `(sequence, time, field)`, exactly zero where it is off;
            see `sparse_mean`. In any unit.
        true: Speed of each factor, `(sequence, time, factor)`, exactly zero where it is off.
        active_only: Whether `correlation` counts only frames in which both factor and field move;
            0 where there are fewer than ten. The match itself always rests on all frames.

    Raises:
        DataError: Shapes do not fit, or a number is not finite.
    """
    inferred = checked(inferred, "inferred speeds", ("sequence", "time", "field"))
    true = checked(true, "true speeds", ("sequence", "time", "factor"))
    if inferred.shape[:2] != true.shape[:2]:
        raise DataError(
            f"Found inferred speeds of {inferred.shape[:2]} and true speeds of {true.shape[:2]} "
            "sequences and transitions. Give the same ones, in the same order."
        )
    inferred, true = (x.reshape(-1, x.shape[-1]) for x in (inferred, true))
    matrix = correlations(true, inferred)
    field_of_factor = np.full(true.shape[1], -1)
    factors, fields = linear_sum_assignment(-np.abs(matrix))
    field_of_factor[factors] = fields
    correlation, f1, scale = np.zeros((3, true.shape[1]))
    for factor, field in zip(factors, fields, strict=True):
        found, truth = inferred[:, field], true[:, factor]
        both = (found != 0) & (truth != 0)
        correlation[factor] = abs(
            _active_correlation(found[both], truth[both]) if active_only else matrix[factor, field]
        )
        f1[factor] = 2 * both.sum() / max(1, (found != 0).sum() + (truth != 0).sum())
        scale[factor] = (found @ truth) / max(found @ found, np.finfo(float).tiny)
    return Matching(field_of_factor, correlation, matrix, f1, scale)


def _active_correlation(
    found: Float[np.ndarray, " frame"], truth: Float[np.ndarray, " frame"]
) -> float:
    if len(found) < MINIMUM_FRAMES:
        return 0.0
    return float(correlations(found[:, None], truth[:, None])[0, 0])


def sparse_mean(draws: Shaped[Array, "draw ..."]) -> Float[np.ndarray, "..."]:
    """Return one speed for many draws: zero where most draws are zero, else the others' mean.

    Args:
        draws: Speeds, draws along the first axis, exactly zero where a spike is off.

    Raises:
        DataError: There are no draws, or a number is not finite.
    """
    draws = checked(draws, "draws of speeds", ("...", "draw"))
    on = (draws != 0).sum(0)
    return np.where(2 * on > len(draws), draws.sum(0) / np.maximum(on, 1), 0.0)

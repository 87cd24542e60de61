"""How far codes are the true factors, up to order and scale, or up to a linear map."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment

from ...zoo.errors import ConfigError, DataError
from .arrays import Array, correlations
from .factors import codes_and_factors

__all__ = ["MeanCorrelation", "explained_variance", "mean_correlation"]


@dataclass(frozen=True, eq=False)
class MeanCorrelation:
    """A one-to-one match of codes to factors (MCC; Hyvärinen & Morioka, NeurIPS 2016).

    Attributes:
        correlation_matrix: Size of the correlation of every code with every factor.
        code_of_factor: The code matched to each factor; -1 where there are too few.
        score: Mean over factors of the matched correlations, from 0 to 1.
    """

    correlation_matrix: Float[np.ndarray, "code factor"]
    code_of_factor: Int[np.ndarray, " factor"]
    score: float


def mean_correlation(
    codes: Shaped[Array, "datum code"],
    factors: Shaped[Array, "datum factor"],
    *,
    by: Literal["pearson", "spearman"] = "pearson",
) -> MeanCorrelation:
    """Match codes to factors so that the sum of the sizes of their correlations is largest.

    Args:
        codes: What is scored.
        factors: True ones of the same data.
        by: "pearson", of values; or "spearman", of ranks, for which any rising or falling function
            of a factor is as good as the factor.

    Raises:
        ConfigError: The kind of correlation is unknown.
        DataError: Shapes do not fit, a number is not finite, or a factor never changes.
    """
    found, true = codes_and_factors(codes, factors)
    if by == "spearman":
        from scipy.stats import rankdata

        found, true = rankdata(found, axis=0), rankdata(true, axis=0)
    elif by != "pearson":
        raise ConfigError(f"Found by={by!r}, but 'pearson' or 'spearman' is needed.")
    matrix = np.abs(correlations(found, true))
    code_of_factor = np.full(true.shape[1], -1)
    rows, columns = linear_sum_assignment(-matrix)
    code_of_factor[columns] = rows
    return MeanCorrelation(
        matrix, code_of_factor, float(matrix[rows, columns].sum() / true.shape[1])
    )


def explained_variance(
    codes: Shaped[Array, "datum code"], factors: Shaped[Array, "datum factor"]
) -> Float[np.ndarray, " factor"]:
    """Return the share of the variance of each factor that is linear in the codes (R²).

    It does not see how codes are mixed: all of one means that nothing is lost, not that codes are
    factors.

    Args:
        codes: What is scored.
        factors: True ones of the same data.

    Raises:
        DataError: Shapes do not fit, a number is not finite, a factor never changes, or there are
            no more data than codes.
    """
    found, true = codes_and_factors(codes, factors)
    if len(found) <= found.shape[1] + 1:
        raise DataError(
            f"Found {len(found)} data of {found.shape[1]} codes, which explain any factor. Give "
            "more data than codes."
        )
    inputs = np.column_stack([found, np.ones(len(found))])
    rest = true - inputs @ np.linalg.lstsq(inputs, true, rcond=None)[0]
    explained: np.ndarray = 1 - rest.var(0) / true.var(0)
    return explained

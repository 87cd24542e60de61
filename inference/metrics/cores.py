"""What latents that are ordered by what they explain share, and how well runs agree on them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import linear_sum_assignment

from ...zoo.errors import DataError
from .arrays import Array, checked, correlations

__all__ = ["Agreement", "core_agreement", "mutual_information"]


def mutual_information(
    columns: Shaped[Array, "datum feature latent"],
) -> Float[np.ndarray, "latent latent"]:
    """Return the mutual information in nats of any two latents' directions in the data.

    It is `-E[log(1 - cos^2)] / 2` of the angle between their columns of the decoder's Jacobian:
    zero where latents move the data at right angles. The diagonal is zero.

    Args:
        columns: Columns of the Jacobian at some data.

    Raises:
        DataError: A number is not finite, or there are other axes.
    """
    values = checked(columns, "columns", ("datum", "feature", "latent"))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosine = np.einsum("dfi,dfj->dij", unit, unit)
    rest = np.clip(1 - cosine**2, np.finfo(float).eps, 1)
    found: np.ndarray = -0.5 * np.log(rest).mean(0)
    np.fill_diagonal(found, 0.0)
    return found


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well two runs agree on the latents of the same data.

    Attributes:
        correlation_matrix: Absolute correlation of every latent of one with every one of the other.
        match: Latent of the second matched to each of the first, one to one.
        matched: Mean absolute correlation of matched latents.
        same_rank: Mean absolute correlation of latents of the same rank.
        subspace: Share of the variance of the second's latents that is linear in the first's.
    """

    correlation_matrix: Float[np.ndarray, "latent latent"]
    match: Shaped[np.ndarray, " latent"]
    matched: float
    same_rank: float
    subspace: float


def core_agreement(
    first: Shaped[Array, "datum latent"], second: Shaped[Array, "datum latent"]
) -> Agreement:
    """Compare the cores of two runs, latents in order.

    Args:
        first: Codes of some data.
        second: Codes of the same data by another run, as many latents.

    Raises:
        DataError: Shapes differ, a number is not finite, or there are too few data.
    """
    one, two = (checked(x, "codes", ("datum", "latent")) for x in (first, second))
    if one.shape != two.shape or len(one) <= one.shape[1] + 1:
        raise DataError(
            f"Found codes of shapes {one.shape} and {two.shape}. Give the same data and as many "
            "latents of both, and more data than latents."
        )
    matrix = np.abs(correlations(one, two))
    rows, match = linear_sum_assignment(-matrix)
    inputs = np.column_stack([one, np.ones(len(one))])
    rest = two - inputs @ np.linalg.lstsq(inputs, two, rcond=None)[0]
    subspace = 1 - float((rest.var(0) / two.var(0)).mean())
    return Agreement(
        matrix, match, float(matrix[rows, match].mean()), float(matrix.diagonal().mean()), subspace
    )

"""Checks and statistics that the metrics share."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...zoo.errors import DataError

__all__ = ["Array", "checked", "correlations"]

Array = np.ndarray | Tensor


def checked(values: object, name: str, axes: tuple[str, ...]) -> Float[np.ndarray, "..."]:
    """Return numbers as a double-precision array of the given axes.

    Args:
        values: A tensor, an array or what becomes one.
        name: What an error message calls it.
        axes: Names of its axes; a first "..." stands for any number of axes.

    Raises:
        DataError: It is empty, has other axes, or a number is not finite.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, dtype=np.float64)
    fixed = len(axes) - (axes[0] == "...")
    fits = array.ndim >= fixed if axes[0] == "..." else array.ndim == fixed
    if not fits or array.size == 0:
        raise DataError(
            f"{name}: found shape {array.shape}, but ({', '.join(axes)}) with at least one of each "
            "is needed."
        )
    if not np.isfinite(array).all():
        raise DataError(
            f"{name}: found {int((~np.isfinite(array)).sum())} numbers that are NaN or infinite, "
            "but finite ones are needed."
        )
    return array


def correlations(
    rows: Float[np.ndarray, "sample row"], columns: Float[np.ndarray, "sample column"]
) -> Float[np.ndarray, "row column"]:
    """Return Pearson correlations of all pairs of variables; 0 where one is constant."""
    rows, columns = rows - rows.mean(0), columns - columns.mean(0)
    scale = np.linalg.norm(rows, axis=0)[:, None] * np.linalg.norm(columns, axis=0)
    matrix: np.ndarray = np.zeros_like(scale)
    np.divide(rows.T @ columns, scale, out=matrix, where=scale > 1e-12)
    return matrix

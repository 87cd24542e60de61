"""What metrics of codes against true factors share: checks, and factors as classes."""

import numpy as np
from jaxtyping import Float, Int, Shaped

from ...zoo.errors import ConfigError, DataError
from .arrays import Array, checked

__all__ = ["as_classes", "check_told", "codes_and_factors", "split"]

_MOST_CLASSES = 100  # more distinct values than this are a continuous factor


def codes_and_factors(
    codes: Shaped[Array, "datum code"], factors: Shaped[Array, "datum factor"]
) -> tuple[Float[np.ndarray, "datum code"], Float[np.ndarray, "datum factor"]]:
    """Return both as arrays of the same data.

    Raises:
        DataError: They are of different data, a number is not finite, a factor never changes, or
            there are fewer than 4 data.
    """
    found = checked(codes, "codes", ("datum", "code"))
    true = checked(factors, "factors", ("datum", "factor"))
    if len(found) != len(true) or len(true) < 4:
        raise DataError(
            f"Found codes of {len(found)} data and factors of {len(true)}. Give those of the same "
            "data, of which at least 4 are needed."
        )
    if constant := np.flatnonzero(np.ptp(true, axis=0) == 0).tolist():
        raise DataError(
            f"Found factors {constant} the same in all data. Leave them out, or give data in which "
            "they change."
        )
    return found, true


def as_classes(
    factors: Float[np.ndarray, "datum factor"], bins: int | None
) -> Int[np.ndarray, "datum factor"]:
    """Return each factor as classes, numbered from zero.

    Args:
        factors: True factors.
        bins: None takes distinct values as classes; a number makes so many of about equal size.

    Raises:
        ConfigError: There are fewer than 2 bins.
        DataError: Without bins, a factor has more than 100 distinct values.
    """
    if bins is None:
        return np.column_stack([_distinct(factors[:, k], k) for k in range(factors.shape[1])])
    if bins < 2:
        raise ConfigError(f"Found bins={bins}, but at least 2 are needed to tell values apart.")
    return np.column_stack([_binned(factors[:, k], bins) for k in range(factors.shape[1])])


def _distinct(values: Float[np.ndarray, " datum"], factor: int) -> Int[np.ndarray, " datum"]:
    distinct, classes = np.unique(values, return_inverse=True)
    if len(distinct) > _MOST_CLASSES:
        raise DataError(
            f"Found {len(distinct)} distinct values of factor {factor}, which is no list of "
            f"classes. Give `bins`, by which continuous factors become classes of equal size."
        )
    return classes


def _binned(values: Float[np.ndarray, " datum"], bins: int) -> Int[np.ndarray, " datum"]:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    least = values.min()
    if edges[-1] == least:  # so frequent that it fills all quantiles but the last
        edges = values[values > least].min(keepdims=True)
    return np.unique(np.digitize(values, edges), return_inverse=True)[1]


def check_told(labels: Int[np.ndarray, " datum"], factor: int) -> None:
    """Raise `DataError` if data to learn from have a single class of a factor."""
    if np.ptp(labels) == 0:
        raise DataError(
            f"Found a single class of factor {factor} among the {len(labels)} data to learn from. "
            "Shuffle the data, or give more."
        )


def split(count: int, train: float) -> int:
    """Return how many of the data come first, to be learned from.

    Raises:
        ConfigError: The share leaves none to learn from or none to be scored on.
    """
    first = round(count * train)
    if not 0 < first < count:
        raise ConfigError(
            f"Found train={train}, which leaves {first} of {count} data to learn from. Give a "
            "share between 0 and 1."
        )
    return first

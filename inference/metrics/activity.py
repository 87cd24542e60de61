"""How many fields move at a time, and how many different ones there are."""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.sparse.csgraph import connected_components

from ...zoo.errors import ConfigError, DataError
from .arrays import Array, checked, correlations

__all__ = ["active_fields", "distinct_fields", "field_usage"]


def active_fields(spike: Shaped[Array, "... field"]) -> float:
    """Return the mean number of fields that move in a transition.

    Args:
        spike: Spikes (0 or 1) or their probabilities; any axes before that of the fields.

    Raises:
        DataError: There is nothing, or a number is outside of [0, 1].
    """
    return float(_checked_spikes(spike).sum(-1).mean())


def field_usage(spike: Shaped[Array, "... field"]) -> Float[np.ndarray, " field"]:
    """Return the share of transitions in which each field moves.

    Args:
        spike: As for `active_fields`.

    Raises:
        DataError: There is nothing, or a number is outside of [0, 1].
    """
    usage: np.ndarray = _flat(spike).mean(0)
    return usage


def distinct_fields(
    spike: Shaped[Array, "... field"], *, correlation: float = 0.6, minimum_usage: float = 0.05
) -> tuple[tuple[int, ...], ...]:
    """Return groups of fields that move together; each group counts as one field.

    Fields are in one group if a chain of pairs, each of which correlates above the threshold,
    connects them. Duplicates that share one factor of the world show up so.

    Args:
        spike: As for `active_fields`.
        correlation: Pearson correlation of spikes above which two fields count as one.
        minimum_usage: Fields that move in a smaller share of transitions are left out.

    Returns:
        Indices of fields, group by group; the number of distinct fields is the length.

    Raises:
        ConfigError: A threshold is outside of [0, 1].
        DataError: There is nothing, or a number is outside of [0, 1].
    """
    for name, value in (("correlation", correlation), ("minimum_usage", minimum_usage)):
        if not 0 <= value <= 1:
            raise ConfigError(f"Found {name}={value}, but a number in [0, 1] is needed.")
    spikes = _flat(spike)
    used = np.flatnonzero(spikes.mean(0) > minimum_usage)
    if used.size == 0:
        return ()
    alike = correlations(spikes[:, used], spikes[:, used]) > correlation
    count, group = connected_components(alike, directed=False)
    return tuple(tuple(used[group == index].tolist()) for index in range(count))


def _flat(spike: Shaped[Array, "... field"]) -> Float[np.ndarray, "sample field"]:
    array = _checked_spikes(spike)
    return array.reshape(-1, array.shape[-1])


def _checked_spikes(spike: Shaped[Array, "... field"]) -> Float[np.ndarray, "... field"]:
    array = checked(spike, "spikes", ("...", "field"))
    if array.min() < 0 or array.max() > 1:
        raise DataError(
            f"spikes: found numbers from {array.min():.3g} to {array.max():.3g}, but spikes (0 or "
            "1) or probabilities are needed. For speeds give `speed != 0`."
        )
    return array

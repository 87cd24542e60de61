"""How often the element of a group that acted is inferred, up to what cannot be known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from ...zoo.errors import DataError
from .arrays import Array, checked

__all__ = ["ElementAccuracy", "element_accuracy"]


@dataclass(frozen=True, eq=False)
class ElementAccuracy:
    """How inferred elements go with true ones.

    Attributes:
        accuracy: Share of data whose most probable element is the true one, after relabelling.
        relabelling: The automorphism that was best: what each true element is called.
        confusion: Mean probability of each inferred element (column), not relabelled, where each
            true one acted (row); rows of elements that never acted are zero.
    """

    accuracy: float
    relabelling: Int[np.ndarray, " element"]
    confusion: Float[np.ndarray, "element element"]


def element_accuracy(
    probability: Shaped[Array, "..."],
    acted: Shaped[Array, "..."],
    automorphisms: Sequence[Sequence[int]] | Shaped[Array, "..."],
) -> ElementAccuracy:
    """Return the accuracy of the most probable element, under the best relabelling.

    Without labels, an element is known up to an automorphism of its group at best, so plain
    accuracy is that of a guess. With few data and a large group, the best of many relabellings is
    right by chance: 1 / K is what knowing nothing is worth, and a little more.

    Args:
        probability: Posterior of each datum, `(sequence, element)`, such as
            `idata["posterior"]["transformation"].mean(("chain", "draw"))`.
        acted: Number of the element that acted in each.
        automorphisms: Relabellings, `(automorphism, element)`, see `FiniteGroup.automorphisms`;
            one row that changes nothing is plain accuracy.

    Raises:
        DataError: Shapes do not fit, or an element is not in the group.
    """
    posterior = checked(probability, "probability", ("sequence", "element"))
    true = checked(acted, "acted", ("sequence",)).astype(int)
    maps = checked(automorphisms, "automorphisms", ("automorphism", "element")).astype(int)
    count, size = posterior.shape
    if len(true) != count or maps.shape[1] != size:
        raise DataError(
            f"Found probabilities {posterior.shape}, {len(true)} true elements and relabellings "
            f"{maps.shape}; expected (sequence, element), (sequence,) and (automorphism, element)."
        )
    if true.min() < 0 or true.max() >= size:
        raise DataError(
            f"Found true elements from {true.min()} to {true.max()}, but the posterior is over 0 "
            f"to {size - 1}. Give both for one group."
        )
    shares = (maps[:, true] == posterior.argmax(1)).mean(1)
    confusion = np.zeros((size, size))
    np.add.at(confusion, true, posterior)
    times = np.bincount(true, minlength=size)
    confusion /= np.maximum(times, 1)[:, None]
    best = int(shares.argmax())
    return ElementAccuracy(float(shares[best]), maps[best], confusion)

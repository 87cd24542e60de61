"""Principal components, the linear baseline of everything that orders its latents."""

import math

import numpy as np
from jaxtyping import Float, Shaped

from ...zoo.errors import ConfigError
from .arrays import Array, checked

__all__ = ["PrincipalComponents", "decibels"]

_MANY = 1024  # features (or data) of which all components are found
_KEPT = 256


class PrincipalComponents:
    """The principal components of data: all of them, or of many features the first 256.

    Args:
        data: What they are fitted to; first axis the data.

    Raises:
        DataError: There are no data, or a number is not finite.
    """

    def __init__(self, data: Shaped[Array, "datum ..."]) -> None:
        from sklearn.decomposition import PCA

        values = checked(data, "data", ("...", "datum"))
        flat = values.reshape(len(values), -1)
        if min(flat.shape) <= _MANY:
            self._fitted = PCA().fit(flat)
        else:
            few = PCA(_KEPT, svd_solver="randomized", random_state=0)
            self._fitted = few.fit(flat.astype(np.float32))

    def reconstruct(
        self, data: Shaped[Array, "datum ..."], core: int
    ) -> Float[np.ndarray, "datum ..."]:
        """Return data projected to the first `core` components.

        Raises:
            ConfigError: `core` is below 1 or above the number of components.
        """
        values = checked(data, "data", ("...", "datum"))
        components = self._fitted.components_
        if not 1 <= core <= len(components):
            raise ConfigError(f"Found core={core}, but 1 to {len(components)} are needed.")
        centred = values.reshape(len(values), -1) - self._fitted.mean_
        kept = components[:core]
        found: np.ndarray = centred @ kept.T @ kept + self._fitted.mean_
        return found.reshape(values.shape)

    def entropies(self, noise: float = 0.0) -> Float[np.ndarray, " component"]:
        """Return the entropy in nats of each component, as of a normal distribution.

        Args:
            noise: Standard deviation of noise that is added to the data.
        """
        variances = np.maximum(self._fitted.explained_variance_, 0) + noise**2
        found: np.ndarray = 0.5 * np.log(
            2 * math.pi * math.e * np.maximum(variances, np.finfo(float).tiny)
        )
        return found


def decibels(found: Shaped[Array, "..."], true: Shaped[Array, "..."]) -> float:
    """Return the peak signal-to-noise ratio of images in [0, 1], in decibels."""
    found, true = (checked(x, "images", ("...", "datum")) for x in (found, true))
    return -10 * math.log10(float(((found - true) ** 2).mean()))

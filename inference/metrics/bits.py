"""Bits per dimension, in which densities of images are compared."""

import math

from jaxtyping import Shaped

from ...zoo.errors import ConfigError
from .arrays import Array, checked

__all__ = ["bits_per_dimension"]


def bits_per_dimension(
    log_prob: Shaped[Array, "..."], dim: int, *, step: float | None = None
) -> float:
    """Return the mean code length of data in bits, divided by their number of features.

    Args:
        log_prob: Log-probability of each datum in nats, such as the ELBO of images of so many bits;
            or with `step`, its log-density at data to which uniform noise of one step was added.
        dim: Number of features of a datum.
        step: Between two values of a feature, in the units of the density: 1/255 for 8 bits in
            [0, 1].

    Raises:
        ConfigError: `dim` or `step` is not positive.
        DataError: A log-probability is not finite.
    """
    if dim < 1 or (step is not None and not 0 < step < math.inf):
        raise ConfigError(f"Found dim={dim} and step={step}, but positive numbers are needed.")
    nats = float(checked(log_prob, "log-probabilities", ("...", "datum")).mean())
    if step is not None:
        nats += dim * math.log(step)
    return -nats / (dim * math.log(2))

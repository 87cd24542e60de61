"""Draws of a guide as labelled arrays: ArviZ groups whose axes have names."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from .. import __version__
from ..zoo.errors import ConfigError, DataError
from .metrics.particles import Draws, check_batch, draw, evaluation, particle_chunks, unwrapped

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["Observations", "posterior", "predict_mean", "summarize"]

_Arrays = dict[str, np.ndarray]
_TRUTH = {
    "spike": ("time", "factor"),
    "speed": ("time", "factor"),
    "multiplier": ("time", "factor"),
    "pose": ("frame", "factor"),
}


class Observations(Protocol):
    """A split of a data set: so many data, any of which can be asked for."""

    def __len__(self) -> int:
        """Return the number of data."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """Return the observed tensors of the data at `indices`, by name."""


def posterior(
    model: nn.Module,
    guide: nn.Module,
    data: Observations | Mapping[str, Tensor],
    *,
    draws: int = 200,
    seed: int = 0,
    batch_size: int = 256,
) -> "arviz.InferenceData":
    """Draw every latent of every datum from the guide.

    For a spike-and-slab site there are also its `spike` (1 where the speed is not zero) and its
    `slab`: the speed where the spike is on and, where it is off, a draw of the model's prior of the
    slab. The likelihood never sees a slab that is not in use, so the prior is its exact conditional
    posterior. They are called `spike` and `slab` if the only such site is called `speed`, else
    `<site>_spike` and `<site>_slab`.

    The same seed, data and batch size give the same numbers, and the global random state is left
    as it was. Images are decoded in parts and not stored, so memory grows with the latents alone.

    Args:
        model: A Pyro model with `dims` and, if it has any, `coords`.
        guide: Its guide.
        data: A split, or observed tensors by name; first axis the data.
        draws: Number of draws of each datum.
        seed: Seed of the draws.
        batch_size: Number of data that are read at once.

    Returns:
        Groups `posterior` (latent and deterministic sites; dims chain, draw and the model's),
        `observed_data` and, where the split knows it, `constant_data`: the true spike, speed,
        multiplier and pose of each factor, speeds in `unit` per frame.

    Raises:
        ConfigError: `draws` or `batch_size` is below 1, or model and guide break the contract.
        DataError: There are no data, or some are not finite.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size}, but at least 1 is needed.")
    drawn, observed = defaultdict(list), defaultdict(list)
    with evaluation(model, guide, seed=seed):
        for batch in _batches(data, batch_size):
            latents, observations = _draw_batch(model, guide, check_batch(batch, model), draws)
            for name, values in latents.items():
                drawn[name].append(values)
            for name, values in observations.items():
                observed[name].append(values)
    dims = dict(_axis_names(model))
    for name in list(dims):
        for part in ("spike", "slab"):
            dims[_part_name(name, part, drawn)] = dims[name]
    groups = {
        "posterior": {name: np.concatenate(parts, 1)[None] for name, parts in drawn.items()},
        "observed_data": {name: np.concatenate(parts) for name, parts in observed.items()},
    }
    idata = _to_arviz(groups, dims, dict(getattr(model, "coords", {})))
    _add_truth(idata, getattr(data, "truth", None))
    idata.attrs.update(seed=seed, draws=draws, mutoscope_version=__version__)
    return idata

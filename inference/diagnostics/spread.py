"""Which latents make the importance weights of a guide uneven."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from xarray import DataArray

from ...zoo.errors import ConfigError
from ..groups import Groups
from ..metrics.particles import check_batch, evaluation, particle_chunks
from ..sampler import Sampler

__all__ = ["weight_spread"]


def weight_spread(
    model: nn.Module,
    guide: nn.Module,
    data: Mapping[str, Tensor],
    *,
    draws: int = 100,
    seed: int = 0,
) -> Float[DataArray, "site datum"]:
    """Return how far log-weights spread if one latent of each datum is drawn again and again.

    The others are held at one draw of the guide. A latent spreads weights where the guide's law of
    it is not that of the posterior given the others: away from it, too wide or narrow, or
    independent of what it should depend on.

    Args:
        model: A Pyro model.
        guide: Its guide.
        data: Observed tensors by name; first axis the data.
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        Standard deviations in nats, for each latent that a datum has and for "all" of them.

    Raises:
        ConfigError: `draws` is below 2, or model and guide break the contract.
        DataError: There are no data, or some are not finite.
    """
    if draws < 2:
        raise ConfigError(f"Found draws={draws}, but at least 2 are needed.")
    with evaluation(model, guide, seed=seed):
        batch = check_batch(data, model)
        sampler = Sampler(model, guide, batch)
        held = {n: site["value"] for n, site in sampler.draw(batch, 1).latent.items()}
        shared = {n: value for n, value in held.items() if n in sampler.shared}
        given = {
            site: {n: value for n, value in held.items() if n != site}
            for site in held
            if site not in shared
        }
        given["all"] = shared
        spreads = [_spread(sampler, batch, draws, values) for values in given.values()]
    axes = ("site", Groups(model, sampler).datum)
    return DataArray(np.stack(spreads), dims=axes, coords={"site": list(given)})


def _spread(
    sampler: Sampler, batch: Mapping[str, Tensor], draws: int, given: Mapping[str, Tensor]
) -> Float[np.ndarray, " datum"]:
    parts = []
    for number in particle_chunks(batch, draws):
        values = {n: value.expand(number, *value.shape[1:]) for n, value in given.items()}
        found = sampler.densities(sampler.draw(batch, number, values))
        parts.append(found.log_p - found.log_q)
    spread: np.ndarray = torch.cat(parts).std(0).cpu().numpy()
    return spread

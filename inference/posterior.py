"""Draws of a guide as labelled arrays: ArviZ groups whose axes have names."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..zoo.errors import ConfigError, DataError
from .labelled import Group, Labelled, joined, to_arviz, truth_group
from .metrics.particles import Draws, check_batch, draw, evaluation, particle_chunks
from .metrics.spikes import is_sparse, is_spike_and_slab, spike_and_slab

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["Observations", "posterior", "predict_mean", "summarize"]


class Observations(Protocol):
    """A split of a data set: so many data, any of which can be asked for."""

    def __len__(self) -> int:
        """Return the number of data."""

    def batch(self, indices: Any) -> dict[str, Tensor]:  # noqa: ANN401  # as data sets take them
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

    A spike-and-slab site also gets its `spike` (1 where the speed is not zero) and its `slab`: the
    speed where the spike is on and, where it is off, a draw of the model's prior of the slab. The
    likelihood never sees a slab that is not in use, so the prior is its exact conditional
    posterior. They are called `spike` and `slab` if the only such site is called `speed`, else
    `<site>_spike` and `<site>_slab`.

    The same seed, data and batch size give the same numbers, and the global random state is left
    as it was. Images are decoded in parts and not stored, so memory grows with the latents alone.

    Args:
        model: A Pyro model with `dims` and, if axes have labels, `coords`.
        guide: Its guide.
        data: A split, or observed tensors by name; first axis the data.
        draws: Number of draws of each datum.
        seed: Seed of the draws.
        batch_size: Number of data that are read at once.

    Returns:
        Groups `posterior` (latent and deterministic sites; dims chain, draw and the model's),
        `observed_data` and, where the split knows it, `constant_data`: the true spike, speed,
        multiplier and pose of each factor, poses in `unit` and speeds in `unit` per frame.

    Raises:
        ConfigError: `draws` or `batch_size` is below 1, or model and guide break the contract.
        DataError: There are no data, or some are not finite.
    """
    if hasattr(data, "test") and not hasattr(data, "batch"):
        raise DataError(
            f"Found a whole {type(data).__name__}, but one split is needed: give `data.test`."
        )
    if batch_size < 1:
        raise ConfigError(f"Found batch_size={batch_size}, but at least 1 is needed.")
    latents: defaultdict[str, list[Labelled]] = defaultdict(list)
    observed: defaultdict[str, list[Labelled]] = defaultdict(list)
    with evaluation(model, guide, seed=seed):
        for batch in _batches(model, data, batch_size):
            drawn, seen = _draw_batch(model, guide, batch, draws)
            for name, labelled in drawn.items():
                latents[name].append(labelled)
            for name, labelled in seen.items():
                observed[name].append(labelled)
    coords = dict(getattr(model, "coords", {}))
    truth, factors = truth_group(getattr(data, "truth", None), _batch_axis(model))
    groups = {
        "posterior": {name: joined(parts, 1) for name, parts in latents.items()},
        "observed_data": {name: joined(parts, 0) for name, parts in observed.items()},
        "constant_data": truth,
    }
    attributes = {"seed": seed, "draws": draws, "mutoscope_version": version("mutoscope")}
    return to_arviz(groups, coords | factors, attributes)


def predict_mean(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    draws: int = 1,
    seed: int = 0,
    site: str | None = None,
) -> Float[Tensor, "datum ..."]:
    """Return the mean of an observed site at draws of the guide, averaged over them.

    Args:
        model: A Pyro model.
        guide: Its guide.
        batch: Observed tensors by name; first axis the data.
        draws: Number of draws to average over.
        seed: Seed of the draws.
        site: Which observed site; may be left out where there is only one.

    Raises:
        ConfigError: `draws` is below 1, or the site is unknown or left open.
        DataError: There are no data, or some are not finite.
    """
    with evaluation(model, guide, seed=seed):
        batch = check_batch(batch, model)
        total = torch.zeros(())
        for particles in particle_chunks(batch, draws):
            observed = draw(model, guide, batch, particles).observed
            names = [name for name in observed if site in (None, name)]
            if len(names) != 1:
                raise ConfigError(
                    f"Found site={site!r} and observed sites {sorted(observed)}. Name one of them."
                )
            distribution = observed[names[0]]["fn"]
            shape = (particles, *distribution.batch_shape[-1:], *distribution.event_shape)
            mean = distribution.mean.expand(shape).sum(0)
            total = total.to(mean.device) + mean
    return total / draws


def summarize(idata: "arviz.InferenceData", variable: str) -> "xarray.Dataset":
    """Return mean, standard deviation and 5% and 95% quantiles of a variable over its draws.

    Args:
        idata: What `posterior` returned.
        variable: A variable of its group `posterior`.

    Returns:
        Variables `mean`, `sd`, `q5` and `q95` with the axes of the variable.

    Raises:
        ConfigError: There is no such variable.
    """
    import xarray

    if variable not in idata["posterior"]:
        raise ConfigError(
            f"Found no variable {variable!r}, but only {', '.join(map(str, idata['posterior']))}."
        )
    values, over = idata["posterior"][variable], ("chain", "draw")
    return xarray.Dataset(
        {
            "mean": values.mean(over),
            "sd": values.std(over),
            "q5": values.quantile(0.05, over).drop_vars("quantile"),
            "q95": values.quantile(0.95, over).drop_vars("quantile"),
        }
    )


def _batches(
    model: nn.Module, data: Observations | Mapping[str, Tensor], batch_size: int
) -> Iterator[dict[str, Tensor]]:
    if isinstance(data, Mapping):
        whole = check_batch(data, model)
        count = len(next(iter(whole.values())))
        for rows in _index_batches(count, batch_size):
            yield {name: tensor[rows.to(tensor.device)] for name, tensor in whole.items()}
        return
    if len(data) == 0:
        raise DataError("Found a split without data, but at least one datum is needed.")
    for rows in _index_batches(len(data), batch_size):
        yield check_batch(data.batch(rows), model)


def _index_batches(count: int, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, count, batch_size):
        yield torch.arange(start, min(start + batch_size, count))


def _draw_batch(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], draws: int
) -> tuple[Group, Group]:
    """Return the latents `(draw, datum, ...)` and the observations `(datum, ...)` of a batch."""
    parts: defaultdict[str, list[Labelled]] = defaultdict(list)
    for particles in particle_chunks(batch, draws):
        drawn = draw(model, guide, batch, particles)
        for name, (axes, value) in _latents(drawn, model).items():
            value = value.expand(particles, *value.shape[-len(axes) :])
            parts[name].append(Labelled(axes, value.cpu().numpy()))
    observed = {}
    for name, site in drawn.observed.items():
        axes = _axes(model, name, site["value"])
        value = site["value"][(0,) * (site["value"].ndim - len(axes))]
        observed[name] = Labelled(axes, value.cpu().numpy())
    return {name: joined(arrays, 0) for name, arrays in parts.items()}, observed


def _latents(drawn: Draws, model: nn.Module) -> dict[str, tuple[tuple[str, ...], Tensor]]:
    found = {}
    for name, site in (drawn.latent | drawn.deterministic).items():
        found[name] = _axes(model, name, site["value"]), site["value"]
    sites = [name for name, site in drawn.guide.items() if is_sparse(site["fn"])]
    for name in sites:
        prefix = "" if sites == ["speed"] else f"{name}_"
        axes, value = found[name]
        found[f"{prefix}spike"] = axes, (value != 0).to(value.dtype)
        if is_spike_and_slab(drawn.guide[name]["fn"]):
            slab = spike_and_slab(value, drawn.latent[name]["fn"])[1]
            found[f"{prefix}slab"] = axes, slab
    return found


def _axes(model: nn.Module, name: str, value: Tensor) -> tuple[str, ...]:
    dims: Mapping[str, tuple[str, ...]] = getattr(model, "dims", {})
    if name not in dims or value.ndim not in (len(dims[name]), len(dims[name]) + 1):
        raise ConfigError(
            f"Site {name!r} has shape {tuple(value.shape)}, axis of draws first, but `model.dims` "
            f"says {dims.get(name)}. Name each axis of the site there, that of the data first."
        )
    return tuple(dims[name])


def _batch_axis(model: nn.Module) -> str:
    dims: Mapping[str, tuple[str, ...]] = getattr(model, "dims", {})
    return next(iter(dims.values()))[0]

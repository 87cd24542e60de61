"""The posterior of a model as ArviZ groups, and what is read off it first."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .. import __version__
from ..zoo.errors import ConfigError, DataError
from .drawing import GROUPS, Drawing, Observations
from .labelled import open_arviz, to_arviz
from .metrics.particles import check_batch, evaluation, particle_chunks
from .progress import drawing_progress
from .sampler import Sampler
from .sealed import write_whole
from .storage import InMemory, storage_for

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["GROUPS", "Observations", "posterior", "predict_mean", "summarize"]


def posterior(
    model: nn.Module,
    guide: nn.Module,
    data: Observations | Mapping[str, Tensor],
    *,
    draws: int = 200,
    seed: int = 0,
    batch_size: int = 256,
    groups: Collection[str] = GROUPS,
    predictive_draws: int | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> "arviz.InferenceData":
    """Draw every latent of every datum from the guide, and all that ArviZ makes use of.

    | group | variables | axes |
    |---|---|---|
    | `posterior` | latent and deterministic sites at draws of the guide | chain, draw, the site's |
    | `sample_stats` | `log_p` and `log_q`, see below | chain, draw, datum |
    | `log_likelihood` | log-likelihood of each observed site, summed over a datum | the same |
    | `posterior_predictive` | observed sites, drawn anew at draws of the posterior | as posterior |
    | `prior` | the sites of `posterior`, drawn from the model | as posterior |
    | `prior_predictive` | observed sites, drawn at draws of the prior | as posterior |
    | `observed_data` | observed sites; NaN where a mask inside a law is off | the site's |
    | `constant_data` | the truth, where `data.truth` knows it; see `truth_group` | the truth's |

    `log_p` is the log-density of a datum's latents and observations under the model, `log_q` that
    of its latents under the guide; no mini-batch weighs them. Their difference is the logarithm of
    the importance weight of a draw. Latents that all data share are drawn once for each draw, with
    the first batch, and given in both; they are in neither.

    A spike-and-slab site also gets its `spike` (1 where the speed is not zero) and its `slab`: the
    speed where the spike is on and, where it is off, a draw of the model's prior of the slab. The
    likelihood never sees a slab that is not in use, so the prior is its exact conditional
    posterior. They are called `spike` and `slab` if the only such site is called `speed`, else
    `<site>_spike` and `<site>_slab`.

    The same seed, data and batch size give the same numbers, whichever groups are asked for, and
    the global random state is left as it was.

    Args:
        model: A Pyro model with `dims` and, if axes have labels, `coords`. Without any `dims`, axes
            get ArviZ's names.
        guide: Its guide.
        data: A split, or observed tensors by name; first axis the data.
        draws: Number of draws of each datum.
        seed: Seed of the draws.
        batch_size: Number of data that are read at once.
        groups: Which groups to make.
        predictive_draws: Number of draws in the three prior and predictive groups, whose images
            would soon fill the memory. None takes as many, up to `draws`, as have 2^25 numbers
            (128 MiB), but at least one.
        out: A netCDF file (`.nc`) or a Zarr folder (`.zarr`) to write, batch by batch, so that
            memory holds a batch alone.
        progress: Show a bar, if there is a terminal.

    Returns:
        An `InferenceData`, or under ArviZ 1 an xarray `DataTree`. With `out` its arrays are read
        from the disk when they are looked at.

    Raises:
        ConfigError: A number is below 1, a group unknown, `out` no place for draws, model and guide
            break the contract, or the prior is asked for and cannot be sampled.
        DataError: There are no data, some are not finite, or shapes differ between batches.
        RunError: Draws cannot be written, because the disk is full, say.
    """
    if hasattr(data, "test") and not hasattr(data, "batch"):
        raise DataError(
            f"Found a whole {type(data).__name__}, but one split is needed: give `data.test`."
        )
    if not isinstance(data, Mapping) and not hasattr(data, "batch"):
        raise DataError(
            f"Found {type(data).__name__}, but a split or a mapping of tensors by name is needed, "
            "such as {'x': tensor}, with the names that the model's `forward` gives them."
        )
    _check_numbers(draws, predictive_draws, batch_size)
    wanted = _known_groups(groups)
    place = None if out is None else (Path(out), storage_for(Path(out)))
    attributes = {
        "seed": seed,
        "draws": draws,
        "batch_size": batch_size,
        "mutoscope_version": __version__,
    }
    with evaluation(model, guide, seed=seed):
        drawing = Drawing(
            model,
            guide,
            data,
            draws=draws,
            predictive_draws=predictive_draws,
            seed=seed,
            batch_size=batch_size,
            groups=wanted,
        )
        with drawing_progress(drawing.total, enabled=progress) as advance:
            if place is None:
                memory = InMemory(drawing.lengths)
                drawing.fill(memory, advance)
                return to_arviz(memory.groups, drawing.coords, attributes)
            path, kind = place

            def write(beside: Path) -> None:
                with kind(beside, drawing.lengths) as disk:
                    drawing.fill(disk, advance)
                    disk.finish(drawing.coords, attributes)

            write_whole(path, write)
    return open_arviz(path)


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
        sampler = Sampler(model, guide, batch)
        for particles in particle_chunks(batch, draws):
            observed = sampler.draw(batch, particles).observed
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

    known = idata["posterior"].data_vars
    if variable not in known:
        raise ConfigError(f"Found no variable {variable!r}, but only {', '.join(map(str, known))}.")
    values, over = known[variable], ("chain", "draw")
    return xarray.Dataset(
        {
            "mean": values.mean(over),
            "sd": values.std(over),
            "q5": values.quantile(0.05, over).drop_vars("quantile"),
            "q95": values.quantile(0.95, over).drop_vars("quantile"),
        }
    )


def _check_numbers(draws: int, predictive_draws: int | None, batch_size: int) -> None:
    for name, number in (("draws", draws), ("batch_size", batch_size)):
        if number < 1:
            raise ConfigError(f"Found {name}={number}, but at least 1 is needed.")
    if predictive_draws is not None and not 1 <= predictive_draws <= draws:
        raise ConfigError(
            f"Found predictive_draws={predictive_draws}, but 1 to {draws}, the number of draws, "
            "are needed. To have none, leave the prior and predictive groups out of `groups`."
        )


def _known_groups(groups: Collection[str]) -> frozenset[str]:
    wanted = frozenset([groups] if isinstance(groups, str) else groups)
    if not wanted or wanted - {*GROUPS}:
        raise ConfigError(
            f"Found groups={sorted(wanted)}, but one or more of {', '.join(GROUPS)} are needed."
        )
    return wanted

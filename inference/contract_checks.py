"""What is wrong with a model and its guide, as a run on a batch and one on a few rows tell."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import torch
from pyro.distributions import Unit
from torch import Tensor, nn

from ..zoo.errors import ConfigError, DataError
from .checked_run import CheckedRun, Pair, count, nearest, run_pair
from .elbo import is_latent
from .metrics.particles import check_batch
from .statement_checks import PLATE
from .statements import Statement, kind_of, peeled, shown

__all__ = ["check_pair"]


def check_pair(
    pair: Pair, batch: Mapping[str, Tensor], size: int | None
) -> tuple[CheckedRun, set[str]]:
    """Return a run on the batch, and the plates whose members are its rows.

    Args:
        pair: The model and its guide.
        batch: Observed tensors by name; first axis the data.
        size: Number of data of the whole set; that of the batch if None.

    Raises:
        ConfigError: Model and guide do not fit: the message names the site and says what to do.
        DataError: The tensors are not what the model takes, or are impossible under it.
    """
    model = pair["model"]
    _check_programs(pair, batch)
    batch = check_batch(batch, model)
    rows = count(batch)
    size = rows if size is None else size
    if size < rows:
        raise ConfigError(f"Found size={size} and a batch of {rows}. Give the size of all data.")
    few = 3 if rows == 2 else 2
    some = {name: tensor[torch.arange(few) % rows] for name, tensor in batch.items()}
    run = run_pair(pair, batch, size)
    probe = run_pair(pair, some, 10 * few, before=run)
    _check_counts(run, probe)
    data_plates = _check_rows(run, probe)
    _check_dims(model, run.sites["model"])
    _check_schedule(model, run.sites["model"])
    return run, data_plates


def _check_programs(pair: Pair, batch: Mapping[str, Tensor]) -> None:
    given = batch.keys() | {"size"}
    for part, program in pair.items():
        taken = inspect.signature(program.forward).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
        needed = {name for name, p in taken.items() if p.default is p.empty}
        if not (anything or needed <= given <= taken.keys()):
            near = "".join(
                nearest(name, taken.keys() - given) for name in sorted(given - taken.keys())
            )
            raise (DataError if part == "model" and "size" in taken else ConfigError)(
                f"`{part}.forward` takes {[*taken]} and needs {sorted(needed)}, but is given the "
                f"tensors {[*batch]} and `size`, the number of all data.{near} Rename, add or drop."
            )
        broken = [n for n, p in program.named_parameters() if not bool(p.isfinite().all())]
        if broken:
            raise ConfigError(f"{part}.{broken[0]} is not finite. Initialise or load it anew.")


def _check_counts(run: CheckedRun, probe: CheckedRun) -> None:
    """Check that a plate of all data looks at as many of them as the batch holds."""
    whole = {n for n, frame in run.plates().items() if frame.full_size in (run.rows, run.size)}
    for each in (run, probe):
        for name, frame in each.plates().items():
            if name in whole and each.rows != frame.size < frame.full_size:
                raise ConfigError(
                    f"Plate {name!r} looks at {frame.size} of {frame.full_size} data, but the "
                    f"batch holds {each.rows}. Open {PLATE.format(frame.dim)}."
                )


def _check_rows(run: CheckedRun, probe: CheckedRun) -> set[str]:
    """Check that rows lie in plates that weigh them to all data, and return those plates."""
    sizes = [{n: f.size for n, f in each.plates().items()} for each in (run, probe)]
    found = {n for n in sizes[0] if (sizes[0][n], sizes[1].get(n)) == (run.rows, probe.rows)}
    for part, site in probe.weighed():
        before: Statement = run.sites[part].get(site["name"], site)
        plates = sorted(found & {frame.name for frame in site["cond_indep_stack"]})
        events = zip(before["fn"].event_shape, site["fn"].event_shape, strict=False)
        if not plates and (run.rows, probe.rows) in events:
            raise ConfigError(
                f"The {part}'s {shown(before)}: its event grows with the batch, outside of any "
                f"plate. Open {PLATE.format(-1)}, with one event for each row."
            )
        weight = float(site["scale"])
        expected = float(before["scale"]) * (probe.size / probe.rows) / (run.size / run.rows)
        if plates and before is not site and abs(weight / expected - 1) > 1e-3:
            raise ConfigError(
                f"Plate {plates[0]!r} weighs {site['name']!r} of the {part} by {weight:g} for "
                f"{probe.rows} rows of size={probe.size}, expected {expected:g}. Open it with "
                "`size or count, subsample=torch.arange(count)`."
            )
    return found


def _check_dims(model: nn.Module, sites: Mapping[str, Statement]) -> None:
    dims: Mapping[str, Sequence[str]] = getattr(model, "dims", {})
    coords: Mapping[str, Sequence[str]] = getattr(model, "coords", {})
    for name, site in sites.items():
        if not dims or kind_of(site) is None or isinstance(peeled(site["fn"]), Unit):
            continue
        shape = tuple(site["value"].shape)
        if name not in dims or len(dims[name]) != len(shape):
            near = nearest(name, dims.keys() - sites.keys())
            raise ConfigError(
                f"Site {name!r} has shape {shape}, but `model.dims` says {dims.get(name)}.{near} "
                "Name each of its axes there."
            )
        for axis, length in zip(dims[name], shape, strict=True):
            if len(coords.get(axis, range(length))) != length:
                raise ConfigError(
                    f"Axis {axis!r} of site {name!r} has length {length}, but `model.coords` has "
                    f"{len(coords[axis])} labels for it. Give as many labels as positions."
                )


def _check_schedule(model: nn.Module, sites: Mapping[str, Statement]) -> None:
    latent = {name for name, site in sites.items() if is_latent(site)}
    for name in getattr(model, "kl_schedule", {}):
        if name not in latent:
            raise ConfigError(
                f"`model.kl_schedule` names {name!r}, which is no latent site of the model: those "
                f"are {sorted(latent)}.{nearest(name, latent)} Rename or remove it there."
            )

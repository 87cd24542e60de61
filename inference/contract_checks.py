"""What is wrong with a model and its guide, as a run on a batch and one on a few rows tell."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import ExpandedDistribution, Independent, MaskedDistribution, Unit
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import constraints

from ..zoo.errors import ConfigError, DataError, MutoscopeError
from .elbo import is_latent, is_observed
from .metrics.particles import check_batch, log_density

__all__ = ["CheckedRun", "Pair", "check_pair"]

Pair = Mapping[str, nn.Module]  # the programs called "model" and "guide"
_PLATE = "`pyro.plate(name, size or count, subsample=torch.arange(count), dim={})`"
_Traced = Any  # a statement in a trace of Pyro, its distribution, or the support of that


@dataclass(frozen=True, eq=False)
class CheckedRun:
    """What one run of a guide, and of its model at the guide's draws, left behind.

    Attributes:
        sites: Sample statements of "guide" and "model", those of plates included, by name.
        batch: The tensors that both were given.
        size: The number of all data that both were told.
    """

    sites: dict[str, dict[str, _Traced]]
    batch: Mapping[str, Tensor]
    size: int

    @property
    def rows(self) -> int:
        """Number of data in the batch."""
        return _count(self.batch)

    def plates(self) -> dict[str, _Traced]:
        """Return the model's plates, as Pyro's frames, by name."""
        sites = self.sites["model"].values()
        return {frame.name: frame for site in sites for frame in site["cond_indep_stack"]}

    def sampled(self) -> Iterator[tuple[str, _Traced]]:
        """Yield each random variable, after the name of the program that samples it."""
        for part, sites in self.sites.items():
            yield from ((part, s) for s in sites.values() if is_latent(s) or is_observed(s))


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
    rows = _count(batch)
    size = rows if size is None else size
    if size < rows:
        raise ConfigError(f"Found size={size} and a batch of {rows}. Give the size of all data.")
    few = 3 if rows == 2 else 2
    some = {name: tensor[torch.arange(few) % rows] for name, tensor in batch.items()}
    run, probe = _run(pair, batch, size), _run(pair, some, 10 * few)
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
                _nearest(name, taken.keys() - given) for name in sorted(given - taken.keys())
            )
            raise (DataError if part == "model" and "size" in taken else ConfigError)(
                f"`{part}.forward` takes {[*taken]} and needs {sorted(needed)}, but is given the "
                f"tensors {[*batch]} and `size`, the number of all data.{near} Rename, add or drop."
            )
        broken = [n for n, p in program.named_parameters() if not bool(p.isfinite().all())]
        if broken:
            raise ConfigError(f"{part}.{broken[0]} is not finite. Initialise or load it anew.")


def _run(pair: Pair, batch: Mapping[str, Tensor], size: int) -> CheckedRun:
    drawn, failure = _trace("guide", pair["guide"], batch, size)
    if failure is not None:
        raise failure
    traced, failure = _trace("model", poutine.replay(pair["model"], trace=drawn), batch, size)
    sites = {
        part: {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}
        for part, trace in (("guide", drawn), ("model", traced))
    }
    run = CheckedRun(sites, batch, size)
    _check_plates(run)
    _check_answers(run, failure)
    for part, site in run.sampled():
        _check_density(part, site, run.rows)
    return run


def _trace(
    part: str, program: Callable[..., Any], batch: Mapping[str, Tensor], size: int
) -> tuple[Any, MutoscopeError | None]:
    """Return the trace up to its end or to a failure, and that failure."""
    tracer, rows = poutine.trace(program), _count(batch)
    failure: MutoscopeError | None = None
    try:
        tracer(**batch, size=size)
    except MutoscopeError as error:
        failure = error
    except (ValueError, RuntimeError, IndexError) as error:
        sites = [_shown(site) for site in tracer.trace.nodes.values() if kind_of(site)]
        where = f"after {sites[-1]}" if sites else "at its first site"
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(" .:,")
        advice = "If shapes clash, give each batch axis a plate of its length, or `.to_event(n)`."
        if isinstance(error, IndexError):
            advice = "If it indexes by what a plate draws, do not: the batch holds the chosen rows."
        failure = ConfigError(
            f"The {part} failed on {rows} rows, {where}: {reason}. Look at what follows there. "
            f"{advice}"
        )
        failure.__cause__ = error
    except AttributeError as error:
        if error.name != "param_state":
            raise
        raise ConfigError(
            f"The {part} is a PyroModule that was built with global parameters. Before building "
            "it, call `pyro.settings.set(module_local_params=True)`."
        ) from error
    if stored := sorted(pyro.get_param_store().keys()):
        raise ConfigError(
            f"The {part} keeps {stored} in Pyro's global store (`pyro.param`, `pyro.module`), "
            "which is not saved. Make them parameters or submodules in `__init__`."
        )
    return tracer.trace, failure


def _check_answers(run: CheckedRun, failure: MutoscopeError | None) -> None:
    """Check that the guide draws the latents of the model, which may have failed on the way."""
    guide, model = run.sites["guide"], run.sites["model"]
    drawn = {name: site for name, site in guide.items() if is_latent(site)}
    latent = {name: site for name, site in model.items() if is_latent(site)}
    if observed := [name for name, site in guide.items() if is_observed(site)]:
        raise ConfigError(f"The guide observes {observed}, but guides draw. Do so in the model.")
    if known := sorted(drawn.keys() & model.keys() - latent.keys()):
        raise ConfigError(f"The guide draws {known}, which the model observes. Leave that out.")
    for name, site in latent.items():
        if name not in drawn:
            near = _nearest(name, drawn.keys() - latent.keys())
            raise ConfigError(f"The model draws {name!r}, the guide does not.{near} Draw it, too.")
        _check_shapes(drawn[name], site)
        _check_support(drawn[name], site)
    if failure is not None:
        raise failure
    if extra := sorted(drawn.keys() - latent.keys()):
        raise ConfigError(f"The guide draws {extra}, the model does not. Leave that out.")


def _check_shapes(drawn: _Traced, site: _Traced) -> None:
    found, expected = drawn["fn"], site["fn"]
    if (found.batch_shape, found.event_shape) == (expected.batch_shape, expected.event_shape):
        return
    advice = "Give both the same sizes"
    if joined := len(expected.event_shape) - len(found.event_shape):
        advice = f"Write `.to_event({abs(joined)})` in the {'guide' if joined > 0 else 'model'}"
    plates = [{frame.name for frame in each["cond_indep_stack"]} for each in (drawn, site)]
    if lacking := plates[0] ^ plates[1]:
        advice = f"Open the plate {min(lacking)!r} around it in both"
    raise ConfigError(f"The guide has {_shown(drawn)}, but the model {_shown(site)}. {advice}.")


def _check_support(drawn: _Traced, site: _Traced) -> None:
    support = _support_of(site["fn"])
    many = torch.Size([1 + 1000 // max(1, drawn["value"].numel())])  # a thousand numbers or more
    draws = drawn["value"], drawn["fn"](many)
    if support is None or all(bool(support.check(draw).all()) for draw in draws):
        return
    found, family, named = family_of(drawn["fn"]), family_of(site["fn"]), support_name(site["fn"])
    other = "" if support.is_discrete else ", or a Normal transformed by `biject_to(support)`"
    raise ConfigError(
        f"Site {site['name']!r}: the guide's {found} leaves the support {named} of the model's "
        f"{family}, where the ELBO is minus infinity. Draw from a {family}{other}."
    )


def _check_plates(run: CheckedRun) -> None:
    known: dict[str, tuple[str, str]] = {}
    for part, site in ((part, s) for part, sites in run.sites.items() for s in sites.values()):
        for frame in site["cond_indep_stack"]:
            found = f"{frame.size} of {frame.full_size} on axis {frame.dim}"
            other, expected = known.setdefault(frame.name, (part, found))
            if found != expected:
                raise ConfigError(
                    f"Plate {frame.name!r} has {found} around {site['name']!r} of the {part}, but "
                    f"{expected} in the {other} before. Open the same plate everywhere."
                )


def _check_density(part: str, site: _Traced, rows: int) -> None:
    fn, family = site["fn"], family_of(site["fn"])
    try:
        log_prob = log_density(site)
    except (ValueError, RuntimeError) as error:
        value = site["value"]
        raise (DataError if is_observed(site) else ConfigError)(
            f"The {part}'s {_shown(site)}: its {family} on {support_name(fn)} takes no values "
            f"of shape {tuple(value.shape)} from {value.min():.3g} to {value.max():.3g}. "
            "Reshape or transform them, or choose another distribution."
        ) from error
    covered = {frame.dim for frame in site["cond_indep_stack"]}
    for axis, length in enumerate(reversed(log_prob.shape), 1):
        if length > 1 and -axis not in covered:
            raise ConfigError(
                f"The {part}'s {_shown(site)}: no plate covers axis -{axis} of its log-density, "
                f"whose shape is {tuple(log_prob.shape)}. If that is the axis of the {rows} rows, "
                f"open {_PLATE.format(-axis)}; else write `.to_event(n)`."
            )
    if bad := int((~torch.isfinite(log_prob)).sum()):
        raise ConfigError(
            f"The {part}'s {_shown(site)}: {bad} of {log_prob.numel()} log-densities under its "
            f"{family} are NaN or infinite at the first draw. Look at its parameters and values."
        )
    reparameterised = fn.has_rsample or hasattr(_peeled(fn), "proposals")
    if part == "guide" and log_prob.requires_grad and not reparameterised:
        raise ConfigError(
            f"The guide draws {site['name']!r} from {family}, which is not reparameterised: its "
            "gradient would be silently wrong. Relax it, sum it out, or use one with `proposals`."
        )


def _check_counts(run: CheckedRun, probe: CheckedRun) -> None:
    """Check that a plate of all data looks at as many of them as the batch holds."""
    whole = {n for n, frame in run.plates().items() if frame.full_size in (run.rows, run.size)}
    for each in (run, probe):
        for name, frame in each.plates().items():
            if name in whole and each.rows != frame.size < frame.full_size:
                raise ConfigError(
                    f"Plate {name!r} looks at {frame.size} of {frame.full_size} data, but the "
                    f"batch holds {each.rows}. Open {_PLATE.format(frame.dim)}."
                )


def _check_rows(run: CheckedRun, probe: CheckedRun) -> set[str]:
    """Check that rows lie in plates that weigh them to all data, and return those plates."""
    sizes = [{n: f.size for n, f in each.plates().items()} for each in (run, probe)]
    found = {n for n in sizes[0] if (sizes[0][n], sizes[1].get(n)) == (run.rows, probe.rows)}
    for part, site in probe.sampled():
        before: _Traced = run.sites[part].get(site["name"], site)
        plates = sorted(found & {frame.name for frame in site["cond_indep_stack"]})
        events = zip(before["fn"].event_shape, site["fn"].event_shape, strict=False)
        if not plates and (run.rows, probe.rows) in events:
            raise ConfigError(
                f"The {part}'s {_shown(before)}: its event grows with the batch, outside of any "
                f"plate. Open {_PLATE.format(-1)}, with one event for each row."
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


def _check_dims(model: nn.Module, sites: Mapping[str, _Traced]) -> None:
    dims: Mapping[str, Sequence[str]] = getattr(model, "dims", {})
    coords: Mapping[str, Sequence[str]] = getattr(model, "coords", {})
    for name, site in sites.items():
        if not dims or kind_of(site) is None or isinstance(_peeled(site["fn"]), Unit):
            continue
        shape = tuple(site["value"].shape)
        if name not in dims or len(dims[name]) != len(shape):
            near = _nearest(name, dims.keys() - sites.keys())
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


def _check_schedule(model: nn.Module, sites: Mapping[str, _Traced]) -> None:
    latent = {name for name, site in sites.items() if is_latent(site)}
    for name in getattr(model, "kl_schedule", {}):
        if name not in latent:
            raise ConfigError(
                f"`model.kl_schedule` names {name!r}, which is no latent site of the model: those "
                f"are {sorted(latent)}.{_nearest(name, latent)} Rename or remove it there."
            )


def kind_of(site: _Traced) -> str | None:
    """Return "latent", "observed" or "deterministic", or None where nobody but Pyro samples."""
    if site["type"] != "sample" or site_is_subsample(site):
        return None
    return "latent" if is_latent(site) else "observed" if is_observed(site) else "deterministic"


def family_of(fn: _Traced) -> str:
    """Return the name of a distribution without the wrappers that add axes or masks."""
    return type(_peeled(fn)).__name__


def support_name(fn: _Traced) -> str:
    """Return the name of the set where elements of a distribution lie, with its bounds."""
    support = _support_of(fn)
    bounds = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    shown = ", ".join(f"{bound:g}" for bound in bounds if isinstance(bound, int | float))
    return type(support).__name__.lstrip("_") + (f"({shown})" if shown else "")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), n=1)
    return f" Is {near[0]!r} meant?" if near else ""


def _shown(site: _Traced) -> str:
    shape = f"{tuple(site['fn'].batch_shape)} | {tuple(site['fn'].event_shape)}"
    return f"site {site['name']!r} of shape {shape} (batch | event)"


def _peeled(fn: _Traced) -> _Traced:
    while isinstance(fn, Independent | ExpandedDistribution | MaskedDistribution):
        fn = fn.base_dist
    return fn


def _support_of(fn: _Traced) -> _Traced:
    support = None  # where it is not known
    with contextlib.suppress(NotImplementedError):
        support = fn.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def _count(batch: Mapping[str, Tensor]) -> int:
    return len(next(iter(batch.values())))

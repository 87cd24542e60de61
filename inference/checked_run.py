"""One run of a guide, and of its model at the guide's draws, and what is wrong with the two."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyro
from pyro import poutine
from torch import Tensor, nn

from ..zoo.errors import ConfigError, MutoscopeError
from .elbo import is_latent, is_observed
from .statement_checks import check_density, check_shapes, check_support
from .statements import Statement, event_axes, is_masked_out, kind_of, shown, to_event

__all__ = ["CheckedRun", "Pair", "count", "nearest", "run_pair"]

Pair = Mapping[str, nn.Module]  # the programs called "model" and "guide"


@dataclass(frozen=True, eq=False)
class CheckedRun:
    """What one run of a guide, and of its model at the guide's draws, left behind.

    Attributes:
        sites: Sample statements of "guide" and "model", those of plates included, by name.
        batch: The tensors that both were given.
        size: The number of all data that both were told.
    """

    sites: dict[str, dict[str, Statement]]
    batch: Mapping[str, Tensor]
    size: int

    @property
    def rows(self) -> int:
        """Number of data in the batch."""
        return count(self.batch)

    def plates(self) -> dict[str, Any]:
        """Return the model's plates, as Pyro's frames, by name."""
        sites = self.sites["model"].values()
        return {frame.name: frame for site in sites for frame in site["cond_indep_stack"]}

    def weighed(self) -> Iterator[tuple[str, Statement]]:
        """Yield each random variable whose density counts, after the name of its program."""
        for part, sites in self.sites.items():
            for site in sites.values():
                if (is_latent(site) or is_observed(site)) and not is_masked_out(site):
                    yield part, site


def run_pair(
    pair: Pair, batch: Mapping[str, Tensor], size: int, *, before: CheckedRun | None = None
) -> CheckedRun:
    """Run a guide, and its model at the guide's draws, and check what they sample.

    Args:
        pair: The model and its guide.
        batch: Observed tensors by name; first axis the data.
        size: Number of data of the whole set.
        before: A run of the pair on another number of rows that nothing is wrong with.

    Raises:
        ConfigError: Model and guide do not fit: the message names the site and says what to do.
        DataError: The tensors are impossible under the model.
    """
    failures: dict[str, MutoscopeError | None] = {}
    drawn, failures["guide"] = _trace("guide", pair["guide"], batch, size, before)
    # The model follows a guide that failed, too: a draw that is impossible there may be the cause.
    replayed = poutine.replay(pair["model"], trace=drawn)
    traced, failures["model"] = _trace("model", replayed, batch, size, before)
    sites = {
        part: {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}
        for part, trace in (("guide", drawn), ("model", traced))
    }
    run = CheckedRun(sites, batch, size)
    _check_plates(run)
    _check_answers(run, failures)
    for part, site in run.weighed():
        check_density(part, site, run.rows)
    return run


def _trace(
    part: str,
    program: Callable[..., Any],
    batch: Mapping[str, Tensor],
    size: int,
    before: CheckedRun | None,
) -> tuple[Any, MutoscopeError | None]:
    """Return the trace up to its end or to a failure, and that failure."""
    tracer = poutine.trace(program)
    failure: MutoscopeError | None = None
    try:
        tracer(**batch, size=size)
    except MutoscopeError as error:
        failure = error
    except (ValueError, RuntimeError, IndexError) as error:
        sites = [shown(site) for site in tracer.trace.nodes.values() if kind_of(site)]
        where = f"after {sites[-1]}" if sites else "at its first site"
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(" .:,")
        given = ", ".join(f"{name} of shape {tuple(x.shape)}" for name, x in batch.items())
        failure = ConfigError(
            f"The {part} failed on {given}, {where}: {reason}. {_advice(error, before)}"
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


def _advice(error: Exception, before: CheckedRun | None) -> str:
    if isinstance(error, IndexError):
        return "If it indexes by what a plate draws, do not: the batch holds the chosen rows."
    if before is not None:
        return f"It ran on {before.rows} rows. If sizes clash, take their number from the data."
    if (site := _unfinished(error)) is not None:
        plates = {f.dim: f.size for f in site["cond_indep_stack"] if f.dim is not None}
        if joined := event_axes(site["fn"].batch_shape, plates):
            call = to_event(site["fn"], joined)
            return f"Write {call} there, or give each batch axis a plate of its length."
    return (
        "Look at what follows there. If shapes clash, give each batch axis a plate of its length, "
        "or make it one of the event."
    )


def _unfinished(error: Exception) -> Statement | None:
    """Return the statement whose plates do not fit, which only Pyro's own frames still hold."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        site = frame.f_locals.get("msg")
        if isinstance(site, dict) and "Shape mismatch inside plate" in str(error):
            return site
    return None


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


def _check_answers(run: CheckedRun, failures: Mapping[str, MutoscopeError | None]) -> None:
    """Check that the guide draws the latents of the model; both may have failed on the way."""
    guide, model = run.sites["guide"], run.sites["model"]
    drawn = {name: site for name, site in guide.items() if is_latent(site)}
    latent = {name: site for name, site in model.items() if is_latent(site)}
    if observed := [name for name, site in guide.items() if is_observed(site)]:
        raise ConfigError(f"The guide observes {observed}, but guides draw. Do so in the model.")
    if known := sorted(drawn.keys() & model.keys() - latent.keys()):
        raise ConfigError(f"The guide draws {known}, which the model observes. Leave that out.")
    for name, site in drawn.items():  # in the guide's order: what is wrong first may spoil the rest
        if name in latent:
            check_shapes(site, latent[name])
            if not is_masked_out(latent[name]):
                check_support(site, latent[name])
    if failures["guide"] is not None:
        raise failures["guide"]
    for name in latent:
        if name not in drawn:
            near = nearest(name, drawn.keys() - latent.keys())
            raise ConfigError(f"The model draws {name!r}, the guide does not.{near} Draw it, too.")
    if failures["model"] is not None:
        raise failures["model"]
    if extra := sorted(drawn.keys() - latent.keys()):
        raise ConfigError(f"The guide draws {extra}, the model does not. Leave that out.")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question after the nearest of some names, or nothing where none is near."""
    near = difflib.get_close_matches(name, sorted(names), n=1)
    return f" Is {near[0]!r} meant?" if near else ""


def count(batch: Mapping[str, Tensor]) -> int:
    """Return the number of data in a batch."""
    return len(next(iter(batch.values())))

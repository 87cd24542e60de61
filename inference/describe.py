"""What a model and its guide consist of, and what is wrong with them, before the first step."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import ExpandedDistribution, Independent, MaskedDistribution, Unit
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import constraints, kl_divergence

from ..zoo.errors import ConfigError, DataError, MutoscopeError
from ..zoo.schedules import Schedule, Windows
from .elbo import Elbo, is_latent, is_observed
from .metrics.particles import check_batch, evaluation, log_density

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["Description", "Part", "Plate", "Site", "describe"]

_PLATE = "`pyro.plate(name, size or count, subsample=torch.arange(count), dim={})`"
_Pair = Mapping[str, nn.Module]
_Traced = Any  # a statement in a trace of Pyro, its distribution, or the support of that


@dataclass(frozen=True)
class Site:
    """A sample statement of a model.

    Attributes:
        name: What the model calls it.
        kind: "latent", "global latent" (shared by all data), "observed" or "deterministic".
        distribution: Its family, without the wrappers that add axes or masks.
        batch: Each batch axis, as `name=length`, by the name of its plate.
        event: Each event axis, likewise, by its name in `model.dims`; `length` where it has none.
        support: Where its elements lie.
        answer: Where its value comes from: the guide's family, "data", or "-".
        kl: "analytic", "drawn" (a difference of log-densities), or "-" unless it is latent.
    """

    name: str
    kind: str
    distribution: str
    batch: tuple[str, ...]
    event: tuple[str, ...]
    support: str
    answer: str
    kl: str


@dataclass(frozen=True)
class Plate:
    """A plate: its name, its members, how many are looked at together, and its batch axis."""

    name: str
    size: int
    subsample_size: int
    dim: int | None


@dataclass(frozen=True)
class Part:
    """Numbers that the parameters of one child of a model or guide hold, and their bytes."""

    name: str
    trainable: int
    frozen: int
    bytes: int


@dataclass(frozen=True)
class Description:
    """What `describe` found; prints as a table.

    Attributes:
        sites: The sites of the model, in order.
        plates: Its plates.
        parts: The parameters of each child; what model and guide share counts once. Last the total.
        unused: Names of trainable parameters that the objective does not depend on.
        schedules: What moves during training: buffers by name, and `KL(site)`.
        windows: The windows that early training looks at, if the model declares some.
    """

    sites: tuple[Site, ...]
    plates: tuple[Plate, ...]
    parts: tuple[Part, ...]
    unused: tuple[str, ...]
    schedules: dict[str, Schedule]
    windows: Windows | None

    def __str__(self) -> str:
        """Return the table as plain text, at most 100 columns wide."""
        from rich.console import Console

        console = Console(width=100, color_system=None)
        with console.capture() as page:
            console.print(self.table())
        return "\n".join(map(str.rstrip, page.get().splitlines()))

    def table(self) -> Group:
        """Return the table for `rich` to print."""
        from rich.console import Group

        return Group(
            _table("site, kind, distribution, batch, event, support, guide, KL", self.sites),
            _table("plate, size, at once, axis", self.plates),
            _table("parameters of, trainable, frozen, bytes", self.parts),
            *self._notes(),
        )

    def _notes(self) -> Iterator[str]:
        if self.unused:
            yield f"unused (the objective does not depend on them): {', '.join(self.unused)}"
        for name, schedule in self.schedules.items():
            span = f"{schedule.since:.0%} to {schedule.until:.0%} of training"
            yield f"scheduled: {name} from {schedule.start:g} to {schedule.end:g}, {span}"
        if windows := self.windows:
            yield f"windows: {windows.length} along {windows.axis!r} until {windows.until:.0%}"


def _table(columns: str, rows: Iterable[Site | Plate | Part]) -> Table:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    folded = (Column(column, overflow="fold") for column in columns.split(", "))
    table = Table(*folded, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for row in map(astuple, rows):
        cells = ("\n".join(x) if isinstance(x, tuple) else x for x in row)
        table.add_row(*(Text(f"{x:,}" if isinstance(x, int) else str(x)) for x in cells))
    table.add_row()
    return table


def describe(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], *, size: int | None = None
) -> Description:
    """Run a guide and a model on a batch, say what is wrong with them, and describe the model.

    Both run on the batch and on a few of its rows, and the ELBO is differentiated once. Gradients,
    modes of modules, the random state and Pyro's parameter store are left as they were.

    Args:
        model: Any Pyro model whose `forward` takes the tensors by name, and `size`.
        guide: Its guide, which takes the same.
        batch: Observed tensors by name; first axis the data.
        size: Number of data of the whole set; that of the batch by default.

    Raises:
        ConfigError: Model and guide do not fit: the message names the site and says what to do.
        DataError: The tensors are not what the model takes, or are impossible under it.
    """
    pair, elbo = {"model": model, "guide": guide}, Elbo(model, guide)
    _check_pair(pair, batch)
    batch = check_batch(batch, model)
    rows = len(next(iter(batch.values())))
    size = rows if size is None else size
    if size < rows:
        raise ConfigError(f"Found size={size} and a batch of {rows}. Give the size of all data.")
    few = 3 if rows == 2 else 2
    some = {name: tensor[torch.arange(few) % rows] for name, tensor in batch.items()}
    store = pyro.get_param_store().scope()
    with evaluation(model, guide, seed=0), pyro.validation_enabled(), torch.enable_grad(), store:
        run, probe = _run(pair, batch, size), _run(pair, some, 10 * few)
        data_plates = _check_rows(run, probe)
        _check_dims(model, run.sites["model"])
        unused = _unused(elbo, batch, size)
        sites = tuple(_rows(run, getattr(model, "dims", {}), data_plates))
    plates = {f.name: Plate(f.name, f.full_size, f.size, f.dim) for f in run.frames()}
    schedules, windows = _schedules(pair), getattr(model, "windows", None)
    return Description(sites, (*plates.values(),), (*_parts(elbo),), unused, schedules, windows)


@dataclass(frozen=True, eq=False)
class _Run:
    """Sample statements of guide and model, those of plates included, by name."""

    sites: dict[str, dict[str, _Traced]]
    rows: int
    size: int

    def sampled(self) -> Iterator[tuple[str, _Traced]]:
        for part, sites in self.sites.items():
            yield from ((part, s) for s in sites.values() if is_latent(s) or is_observed(s))

    def frames(self) -> Iterator[Any]:
        return (f for site in self.sites["model"].values() for f in site["cond_indep_stack"])


def _check_pair(pair: _Pair, batch: Mapping[str, Tensor]) -> None:
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


def _run(pair: _Pair, batch: Mapping[str, Tensor], size: int) -> _Run:
    drawn, failure = _trace("guide", pair["guide"], batch, size)
    if failure is not None:
        raise failure
    traced, failure = _trace("model", poutine.replay(pair["model"], trace=drawn), batch, size)
    sites = {
        part: {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}
        for part, trace in (("guide", drawn), ("model", traced))
    }
    run = _Run(sites, len(next(iter(batch.values()))), size)
    _check_plates(run)
    _check_answers(run, failure)
    for part, site in run.sampled():
        _check_density(part, site, run.rows)
    return run


def _trace(
    part: str, program: Callable[..., Any], batch: Mapping[str, Tensor], size: int
) -> tuple[Any, MutoscopeError | None]:
    """Return the trace up to its end or to a failure, and that failure."""
    tracer, rows = poutine.trace(program), len(next(iter(batch.values())))
    failure: MutoscopeError | None = None
    try:
        tracer(**batch, size=size)
    except MutoscopeError as error:
        failure = error
    except (ValueError, RuntimeError) as error:
        sites = [_shown(site) for site in tracer.trace.nodes.values() if _kind(site)]
        where = f"after {sites[-1]}" if sites else "at its first site"
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(" .:,")
        failure = ConfigError(
            f"The {part} failed on {rows} rows, {where}: {reason}. Look at what follows there. "
            "If shapes clash, give each batch axis a plate of its length, or use `.to_event(n)`."
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


def _check_answers(run: _Run, failure: MutoscopeError | None) -> None:
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
    support = _support(site["fn"])
    many = torch.Size([1 + 1000 // max(1, drawn["value"].numel())])  # a thousand numbers or more
    draws = drawn["value"], drawn["fn"](many)
    if support is None or all(bool(support.check(draw).all()) for draw in draws):
        return
    found, family = _family(drawn["fn"]), _family(site["fn"])
    other = "" if support.is_discrete else ", or a Normal transformed by `biject_to(support)`"
    raise ConfigError(
        f"Site {site['name']!r}: the guide's {found} leaves the support {_named(support)} of the "
        f"model's {family}, where the ELBO is minus infinity. Draw from a {family}{other}."
    )


def _check_plates(run: _Run) -> None:
    known: dict[str, tuple[str, str]] = {}
    for part, site in ((part, s) for part, sites in run.sites.items() for s in sites.values()):
        rows = torch.as_tensor(site["value"]).tolist() if site_is_subsample(site) else []
        if rows != [*range(len(rows))]:
            raise ConfigError(
                f"Plate {site['name']!r} of the {part} draws rows of its own, {rows[:5]}, but "
                "training chooses them. Open it with `subsample=torch.arange(count)`."
            )
        for frame in site["cond_indep_stack"]:
            found = f"{frame.size} of {frame.full_size} on axis {frame.dim}"
            other, expected = known.setdefault(frame.name, (part, found))
            if found != expected:
                raise ConfigError(
                    f"Plate {frame.name!r} has {found} around {site['name']!r} of the {part}, but "
                    f"{expected} in the {other} before. Open the same plate everywhere."
                )


def _check_density(part: str, site: _Traced, rows: int) -> None:
    fn, family = site["fn"], _family(site["fn"])
    try:
        log_prob = log_density(site)
    except (ValueError, RuntimeError) as error:
        value = site["value"]
        raise (DataError if is_observed(site) else ConfigError)(
            f"The {part}'s {_shown(site)}: its {family} on {_named(_support(fn))} takes no values "
            f"of shape {tuple(value.shape)} from {value.min():.3g} to "
            f"{value.max():.3g}. Reshape or transform them, or choose another distribution."
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


def _check_rows(run: _Run, probe: _Run) -> set[str]:
    """Check that rows lie in plates that weigh them to all data, and return those plates."""
    long, short = ({f.name: f.size for f in each.frames()} for each in (run, probe))
    found = {name for name in long if (long[name], short.get(name)) == (run.rows, probe.rows)}
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
        if not dims or _kind(site) is None or isinstance(_peeled(site["fn"]), Unit):
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


def _unused(elbo: Elbo, batch: Mapping[str, Tensor], size: int) -> tuple[str, ...]:
    objective = elbo(batch, size=size).objective
    trained = {name: p for name, p in elbo.named_parameters() if p.requires_grad}
    if not objective.requires_grad:
        return tuple(trained)
    gradients = torch.autograd.grad(objective, [*trained.values()], allow_unused=True)
    return tuple(name for name, g in zip(trained, gradients, strict=True) if g is None)


def _rows(run: _Run, dims: Mapping[str, Sequence[str]], data_plates: set[str]) -> Iterator[Site]:
    for name, site in run.sites["model"].items():
        if (kind := _kind(site)) is None:
            continue
        fn, shape, frames = site["fn"], site["value"].shape, site["cond_indep_stack"]
        split = len(shape) - len(fn.event_shape)
        named = {split + frame.dim: frame.name for frame in frames if frame.dim is not None}
        names = (named.get(i, n) for i, n in enumerate(dims.get(name, [""] * len(shape))))
        axes = tuple(f"{n}={k}".strip("=") for n, k in zip(names, shape, strict=True))
        laws = ("-", "-") if kind == "deterministic" else (_family(fn), _named(_support(fn)))
        answer, kl = "data" if kind == "observed" else "-", "-"
        if kind == "latent":
            drawn = run.sites["guide"][name]["fn"]
            answer, kl = _family(drawn), "drawn"
            with contextlib.suppress(NotImplementedError):
                kl_divergence(drawn, fn)
                kl = "analytic"
            kind = "latent" if data_plates & {frame.name for frame in frames} else "global latent"
        yield Site(name, kind, laws[0], axes[:split], axes[split:], laws[1], answer, kl)


def _parts(elbo: Elbo) -> Iterator[Part]:
    children: dict[str, list[Tensor]] = {}
    for name, parameter in elbo.named_parameters():
        children.setdefault(".".join(name.split(".")[:2]), []).append(parameter)
    children["total"] = [*elbo.parameters()]
    for name, found in children.items():
        trainable = sum(p.numel() for p in found if p.requires_grad)
        frozen = sum(p.numel() for p in found) - trainable
        yield Part(name, trainable, frozen, sum(p.numel() * p.element_size() for p in found))


def _schedules(pair: _Pair) -> dict[str, Schedule]:
    found = {f"KL({n})": moves for n, moves in getattr(pair["model"], "kl_schedule", {}).items()}
    for part, program in pair.items():
        found |= {f"{part}.{n}": moves for n, moves in getattr(program, "schedules", {}).items()}
    return found


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), n=1)
    return f" Is {near[0]!r} meant?" if near else ""


def _kind(site: _Traced) -> str | None:
    if site["type"] != "sample" or site_is_subsample(site):
        return None
    return "latent" if is_latent(site) else "observed" if is_observed(site) else "deterministic"


def _shown(site: _Traced) -> str:
    shape = f"{tuple(site['fn'].batch_shape)} | {tuple(site['fn'].event_shape)}"
    return f"site {site['name']!r} of shape {shape} (batch | event)"


def _peeled(fn: _Traced) -> _Traced:
    while isinstance(fn, Independent | ExpandedDistribution | MaskedDistribution):
        fn = fn.base_dist
    return fn


def _family(fn: _Traced) -> str:
    return type(_peeled(fn)).__name__


def _support(fn: _Traced) -> _Traced:
    support = None  # where it is not known
    with contextlib.suppress(NotImplementedError):
        support = fn.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def _named(support: _Traced) -> str:
    bounds = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    shown = ", ".join(f"{bound:g}" for bound in bounds if isinstance(bound, int | float))
    return type(support).__name__.lstrip("_") + (f"({shown})" if shown else "")

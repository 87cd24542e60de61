"""What a model and its guide consist of, as a table, before the first step."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import pyro
import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from ..zoo.schedules import Schedule, Windows
from .checked_run import CheckedRun, Pair
from .contract_checks import check_pair
from .elbo import Elbo
from .metrics.particles import evaluation
from .statements import family_of, is_masked_out, kind_of, support_name
from .tables import TextTable

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["Description", "Part", "Plate", "Site", "describe"]


@dataclass(frozen=True)
class Site:
    """A sample statement of a model.

    Attributes:
        name: What the model calls it.
        kind: "latent", "global latent" (shared by all data), "observed", "deterministic", or
            "masked out" where its density counts for nothing.
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


@dataclass(frozen=True, repr=False)
class Description:
    """What `describe` found; shows as a table, in notebooks too.

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

    def __repr__(self) -> str:
        """Return the table as plain text, at most 80 columns wide."""
        from rich.console import Console

        console = Console(width=80, color_system=None, force_jupyter=False)
        with console.capture() as page:
            console.print(self.table())
        return "\n".join(map(str.rstrip, page.get().splitlines()))

    def _repr_html_(self) -> str:
        tables = (table.html() for table in self._tables())
        return "".join([*tables, *(f"<p>{html.escape(note)}</p>" for note in self._notes())])

    def table(self) -> Group:
        """Return the table for `rich` to print."""
        from rich.console import Group
        from rich.text import Text

        return Group(*(table.of_rich() for table in self._tables()), *map(Text, self._notes()))

    def _tables(self) -> Iterator[TextTable]:
        sites = [
            (
                f"{site.name}\n  {site.kind}",
                _over(site.distribution, "on", site.support),
                "\n".join(site.batch),
                "\n".join(site.event),
                _over(site.answer, "KL", site.kl),
            )
            for site in self.sites
        ]
        yield TextTable(("site", "distribution", "batch", "event", "guide"), sites)
        yield TextTable(("plate", "size", "at once", "axis"), _numbers(self.plates))
        yield TextTable(("parameters of", "trainable", "frozen", "bytes"), _numbers(self.parts))

    def _notes(self) -> Iterator[str]:
        if self.unused:
            yield f"unused (the objective does not depend on them): {', '.join(self.unused)}"
        for name, schedule in self.schedules.items():
            span = f"{schedule.since:.0%} to {schedule.until:.0%} of training"
            yield f"scheduled: {name} from {schedule.start:g} to {schedule.end:g}, {span}"
        if windows := self.windows:
            yield f"windows: {windows.length} along {windows.axis!r} until {windows.until:.0%}"


def _over(first: str, word: str, second: str) -> str:
    return first if second == "-" else f"{first}\n  {word} {second}"


def _numbers(rows: Sequence[Plate | Part]) -> list[tuple[str, ...]]:
    return [tuple(f"{x:,}" if isinstance(x, int) else str(x) for x in astuple(r)) for r in rows]


def describe(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], *, size: int | None = None
) -> Description:
    """Run a guide and a model on a batch, say what is wrong with them, and describe the model.

    Both run on the batch and on a few of its rows, and the ELBO is differentiated once. Gradients,
    modes of modules, the random state and Pyro's parameter store are left as they were.

    A plate may also be opened with `subsample_size=count`. Its weight is right then, but what it
    draws are not the rows of the batch: index nothing by them.

    Args:
        model: Any Pyro model whose `forward` takes the tensors by name, and `size`.
        guide: Its guide, which takes the same.
        batch: Observed tensors by name; first axis the data.
        size: Number of data of the whole set; that of the batch by default.

    Raises:
        ConfigError: Model and guide do not fit: the message names the site and says what to do.
        DataError: The tensors are not what the model takes, or are impossible under it.
    """
    pair: Pair = {"model": model, "guide": guide}
    elbo, store = Elbo(model, guide), pyro.get_param_store().scope()
    with evaluation(model, guide, seed=0), torch.enable_grad(), store:
        with pyro.validation_enabled():
            run, data_plates = check_pair(pair, batch, size)
        unused = _unused(elbo, run)
        sites = tuple(_rows(run, getattr(model, "dims", {}), data_plates))
    plates = tuple(Plate(f.name, f.full_size, f.size, f.dim) for f in run.plates().values())
    schedules, windows = _schedules(pair), getattr(model, "windows", None)
    return Description(sites, plates, (*_parts(elbo),), unused, schedules, windows)


def _unused(elbo: Elbo, run: CheckedRun) -> tuple[str, ...]:
    objective = elbo(run.batch, size=run.size).objective
    trained = {name: p for name, p in elbo.named_parameters() if p.requires_grad}
    if not objective.requires_grad:
        return tuple(trained)
    gradients = torch.autograd.grad(objective, [*trained.values()], allow_unused=True)
    return tuple(name for name, g in zip(trained, gradients, strict=True) if g is None)


def _rows(
    run: CheckedRun, dims: Mapping[str, Sequence[str]], data_plates: set[str]
) -> Iterator[Site]:
    for name, site in run.sites["model"].items():
        if (kind := kind_of(site)) is None:
            continue
        fn, shape, frames = site["fn"], site["value"].shape, site["cond_indep_stack"]
        split = len(shape) - len(fn.event_shape)
        named = {split + frame.dim: frame.name for frame in frames if frame.dim is not None}
        names = (named.get(i, n) for i, n in enumerate(dims.get(name, [""] * len(shape))))
        axes = tuple(f"{n}={k}".strip("=") for n, k in zip(names, shape, strict=True))
        laws = ("-", "-") if kind == "deterministic" else (family_of(fn), support_name(fn))
        answer, kl = "data" if kind == "observed" else "-", "-"
        if kind == "latent":
            drawn = run.sites["guide"][name]["fn"]
            answer, kl = family_of(drawn), "drawn"
            with contextlib.suppress(NotImplementedError):
                kl_divergence(drawn, fn)
                kl = "analytic"
            kind = "latent" if data_plates & {frame.name for frame in frames} else "global latent"
        if kind != "deterministic" and is_masked_out(site):
            kind, kl = "masked out", "-"
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


def _schedules(pair: Pair) -> dict[str, Schedule]:
    found = {f"KL({n})": moves for n, moves in getattr(pair["model"], "kl_schedule", {}).items()}
    for part, program in pair.items():
        found |= {f"{part}.{n}": moves for n, moves in getattr(program, "schedules", {}).items()}
    return found

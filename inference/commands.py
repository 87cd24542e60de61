"""What each command of the command line does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..guides.registry import Entry, entries, entry_of
from ..zoo.config import AbstractConfig
from ..zoo.datasets import FirstOf
from ..zoo.errors import ConfigError, RunError
from .data_options import DataOptions
from .job import Job, build, check_entry
from .options import FitOptions
from .run import Run
from .tables import TextTable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check", "cite", "describe", "fit", "list_known", "plot", "posterior", "resume"]

_MOST_DATA = 512


def list_known() -> None:
    """Print the models and data sets that can be asked for by name."""
    from ..guides.registry import broken_entries
    from ..zoo.datasets import sources

    rows = [
        (entry.name, f"{entry.summary}\n  {entry.model.__name__}, {entry.guide.__name__}")
        for entry in entries()
    ]
    console = _console()
    console.print(TextTable(("name", "model"), rows).of_rich())
    for line in broken_entries():
        console.print(line)
    console.print(f"Data sets: {', '.join(sources())}, or the path of a file or folder of images.")
    console.print("Of tasks: factors, ellipses, any of these with labels, or the path of a table.")


def describe(entry: str, words: Any) -> None:  # noqa: ANN401 - a jsonargparse namespace
    """Print what a model and its guide consist of, on the data that were asked for."""
    from .description import describe as described

    chosen, options = Entry.named(entry), (_part(words, "model"), _part(words, "guide"))
    check_entry(chosen, *options)
    data = _options(DataOptions, words).open(seed=0, reads=chosen.reads)
    pair = build(chosen, data, *options, seed=0)
    batch = data.train.batch(torch.arange(min(4, len(data.train))))
    _console().print(described(*pair, batch, size=len(data.train)).table())


def fit(entry: str, words: Any) -> None:  # noqa: ANN401 - a jsonargparse namespace
    """Train a model and report what it learned."""
    for name, kind in (("out", str), ("draws", int)):
        if not isinstance(words[name], kind):
            raise ConfigError(f"Found {name}={words[name]!r}, expected {kind.__name__}.")
    folder = Path(words.out)
    if folder.is_file():
        raise ConfigError(f"--out {folder} is a file. Choose a folder.")
    if words.draws < 1:
        raise ConfigError(f"--draws {words.draws}, but at least 1 is needed.")
    if folder.exists() and any(folder.iterdir()) and not words.overwrite:
        raise ConfigError(
            f"{folder} already holds files. Choose another --out, or pass --overwrite."
        )
    sizes = _sizes(words.autoencoders)
    if sizes and Entry.named(entry).reads != "stills":
        raise ConfigError(
            f"--autoencoders compares compression, but {entry} has no latents in order. Leave it "
            "out."
        )
    Job(
        entry=entry,
        data=_options(DataOptions, words),
        options=_options(FitOptions, words),
        model=_part(words, "model"),
        guide=_part(words, "guide"),
        draws=words.draws,
        baseline=not words.no_baseline,
        autoencoders=sizes,
    ).run(folder, quiet=words.quiet)


def _sizes(words: str) -> tuple[int, ...]:
    """Return the numbers in a list of sizes, such as "8,16"."""
    parts = [word.strip() for word in str(words).split(",")] if words else []
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise ConfigError(
            f"Found --autoencoders {words}, expected sizes of latent spaces such as 8,16,32."
        )
    return tuple(map(int, parts))


def resume(folder: str, *, quiet: bool = False) -> None:
    """Go on with a training that was stopped.

    Args:
        folder: Folder of the run.
        quiet: Leave out the progress bar.
    """
    Job.of_folder(Path(folder)).go_on(Path(folder), quiet=quiet)


def posterior(
    folder: str,
    *,
    draws: int = 200,
    core: int | None = None,
    seed: int = 0,
    out: str | None = None,
) -> None:
    """Draw the posterior of held-out data, and write it as netCDF or Zarr.

    Args:
        folder: Folder of the run.
        draws: Number of draws of each datum.
        core: Number of latents to draw, for models whose latents are ordered; None takes those
            above the noise floor, up to 64.
        seed: Of the draws.
        out: File (.nc) or folder (.zarr) to write; None takes `posterior.nc` in the run's folder.
    """
    from .codes import OrdersLatents, draw_codes

    _check_seed(seed)
    path = Path(folder) / "posterior.nc" if out is None else Path(out)
    run, split = _run_and_data(folder)
    if isinstance(run.model, OrdersLatents):
        idata = draw_codes(run, split, core=core, draws=draws, seed=seed, out=path)
    elif core is None:
        idata = run.posterior(split, draws=draws, seed=seed, out=path)
    else:
        raise ConfigError("This model has no latents in order. Leave --core out.")
    console = _console()
    for name, array in idata["posterior"].data_vars.items():
        axes = ", ".join(f"{axis} {size}" for axis, size in array.sizes.items())
        console.print(f"{name}: {axes}", highlight=False)
    console.print(f"Written to {path}")


def check(
    folder: str,
    *,
    data: int = 64,
    draws: int = 500,
    simulations: int = 300,
    refine: int | None = None,
    reference: int = 0,
    seed: int = 0,
) -> None:
    """Say how far the posterior of a run can be trusted, and why; leave a page with pictures.

    Args:
        folder: Folder of the run.
        data: Number of held-out data that are looked at.
        draws: Number of draws of each.
        simulations: Number of data that calibration simulates; 0 leaves it out.
        refine: Number of steps of refinement that are tried where the guide is not enough. None
            takes 400, or 0 where a datum has more than 200 latent numbers.
        reference: Number of data for which Markov chains are run, too.
        seed: Of the draws.
    """
    from .checking import Budget
    from .checking import check as checked

    _check_seed(seed)
    budget = Budget(
        data=data, draws=draws, simulations=simulations, refine=refine, reference=reference
    )
    run, split = _run_and_data(folder)
    report = checked(run, split, budget=budget, seed=seed)
    page = Path(folder) / "check.html"
    report.save(page)
    _console().print(f"{report}\n\nWith pictures: {page}", soft_wrap=True)


def plot(folder: str, *, draws: int = 100, seed: int = 0) -> None:
    """Draw the pictures of a run again.

    Args:
        folder: Folder of the run.
        draws: Number of posterior draws of each datum.
        seed: Of the draws.
    """
    from .codes import OrdersLatents
    from .core_pictures import draw_core_pictures
    from .pictures import draw_pictures
    from .task_report import draw_task_pictures

    _check_seed(seed)
    figures = Path(folder) / "figures"
    run, data = _run_and_set(folder)
    if entry_of(run.model, run.guide).reads == "tasks":
        draw_task_pictures(run, data.test.first(_MOST_DATA), figures, draws=draws, seed=seed)
        _console().print(f"Pictures: {figures}")
        return
    if isinstance(run.model, OrdersLatents):
        draw_core_pictures(run, data.train, data.test, figures, seed=seed)
        _console().print(f"Pictures: {figures}")
        return
    split = FirstOf(data.test, _MOST_DATA)
    groups = "posterior", "constant_data"
    idata = run.posterior(split, draws=draws, seed=seed, groups=groups)
    draw_pictures(run, split, idata, figures, seed=seed)
    _console().print(f"Pictures: {figures}")


def cite(run: str) -> None:
    """Print BibTeX for exactly what was used.

    Args:
        run: Folder of a run, or name of a model.
    """
    from .cite import cite as cited

    _console().print(
        cited(Run.load(run) if Path(run).is_dir() else run), markup=False, soft_wrap=True
    )


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise ConfigError(f"Found seed={seed}, expected a whole number from 0 to 2^63 - 1.")


def _run_and_data(folder: str, most: int = _MOST_DATA) -> tuple[Run, Any]:
    """Return a run, and the held-out data of the set that it was trained on."""
    run, data = _run_and_set(folder)
    test = data.test
    return run, test.first(most) if hasattr(test, "first") else FirstOf(test, most)


def _run_and_set(folder: str) -> tuple[Run, Any]:
    """Return a run, and the data set that it was trained on."""
    run = Run.load(folder)
    if "data" not in run.settings:
        raise RunError(
            f"{folder} does not say what it was trained on: it was made in Python. Use "
            "`Run.load(folder)` there, with your data."
        )
    options = DataOptions.from_dict(run.settings["data"])
    reads = entry_of(run.model, run.guide).reads
    return run, options.open(seed=run.settings["fit"]["seed"], reads=reads)


def _options(kind: type[AbstractConfig], chosen: Any) -> Any:  # noqa: ANN401 - any configuration
    return kind.from_dict({field.name: chosen[field.name] for field in fields(kind)})


def _part(words: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - a jsonargparse namespace
    """Return the options of the model or guide, without the parser's note of a file they are from.

    One that has no options has no part in the words.
    """
    part = words.get(name)
    return {} if part is None else {k: x for k, x in vars(part).items() if k != "__path__"}


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)

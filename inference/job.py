"""The main job of the command line: data, training, baseline, posterior, table and pictures."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from ..guides.registry import Entry
from ..zoo.errors import ConfigError, RunError
from .checkpoint import has_checkpoint
from .data_options import DataOptions
from .fitting import fit, resume
from .options import FitOptions
from .processes import leads
from .run import Run, read_run

__all__ = ["OF_DATA", "Job", "build", "check_entry"]

# Fields of a model's configuration that data decide, where they know them.
OF_DATA = (
    "image_shape",
    "length",
    "orders",
    "factors",
    "turning",
    "input_shape",
    "num_outputs",
)

_BASELINE_STEPS = 1500
_CALLED = {"sequences": "images", "stills": "x", "tasks": "inputs"}
_ANY_SHAPE = (1, 1024, 1024)  # of images that nothing is wrong with
_STARTED_FROM = 256  # data
_REPORT = "report.json"


def build(
    entry: Entry,
    data: Any,  # noqa: ANN401 - any data set of image sequences
    model: dict[str, Any],
    guide: dict[str, Any],
    *,
    seed: int,
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Make a model and its guide for a data set, with parameters drawn from a seed.

    Args:
        entry: Which model.
        data: Gives the shape of images, the length of sequences and the group that acts, if any.
        model: Further fields of the model's configuration.
        guide: Fields of the guide's configuration.
        seed: Of the initial parameters.

    Raises:
        ConfigError: A field is unknown or out of range.
    """
    shape = {name: getattr(data, name) for name in OF_DATA if hasattr(data, name)}
    shape = {name: value for name, value in shape.items() if name in _names(entry.model.Config)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = entry.model(entry.model.Config.from_dict(shape | model))
        return made, entry.guide(made, entry.guide.Config.from_dict(guide))


def check_entry(entry: Entry, model: dict[str, Any], guide: dict[str, Any]) -> None:
    """Refuse what is wrong whatever the images, before these are opened.

    Args:
        entry: Which model.
        model: Fields of the model's configuration.
        guide: Fields of the guide's configuration.

    Raises:
        ConfigError: The model takes something else than images, or a field is unknown or out of
            range.
    """
    tensor = _CALLED[entry.reads]
    _, *taken = inspect.signature(entry.model.forward).parameters.values()
    named = [p for p in taken if p.kind is not p.VAR_KEYWORD and p.name != "size"]
    names = [p.name for p in named]
    needed = {p.name for p in named if p.default is p.empty} - {tensor}
    anything = any(p.kind is p.VAR_KEYWORD for p in taken)
    if needed or not (anything or tensor in names):
        tensors = ", ".join(f"{name!r}: tensor" for name in names)
        raise ConfigError(
            f"{entry.name} takes {', '.join(names)}, but the data sets of the command line are "
            f"image sequences, called images. Train it in Python: fit(model, guide, {{{tensors}}})."
        )
    known = _names(entry.model.Config)
    shape = {name: _ANY_SHAPE for name in ("image_shape", "input_shape") if name in known}
    entry.model.Config.from_dict(shape | model)
    entry.guide.Config.from_dict(guide)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that `mutoscope fit` was asked to do.

    Attributes:
        entry: Name of the model.
        data: What to learn from.
        options: How to train.
        model: Fields of the model's configuration.
        guide: Fields of the guide's configuration.
        draws: Number of posterior draws for each sequence.
        baseline: Whether to train the entry's baseline on the same data.
        autoencoders: Sizes of latent spaces of autoencoders to train on the same images, for models
            whose latents are ordered.
    """

    entry: str
    data: DataOptions
    options: FitOptions
    model: dict[str, Any] = field(default_factory=dict)
    guide: dict[str, Any] = field(default_factory=dict)
    draws: int = 100
    baseline: bool = True
    autoencoders: tuple[int, ...] = ()

    @classmethod
    def of_folder(cls, folder: Path) -> Job:
        """Return the job that a folder was made by.

        Raises:
            RunError: The folder is no run, or one that was made in Python.
        """
        settings = read_run(folder)["settings"]
        if "job" not in settings:
            raise RunError(
                f"{folder} was not made by `mutoscope fit`. Go on in Python, with your data: "
                "mutoscope.inference.resume(folder, data)."
            )
        return cls(
            data=DataOptions.from_dict(settings["data"]),
            options=FitOptions.from_dict(settings["fit"]),
            **settings["job"],
        )

    def _notes(self) -> dict[str, Any]:
        """Return what `of_folder` reads, beside the options of training."""
        names = ("entry", "model", "guide", "draws", "baseline", "autoencoders")
        job = {name: getattr(self, name) for name in names}
        return {"data": self.data.to_dict(), "job": job}

    def run(self, folder: Path, *, quiet: bool) -> None:
        """Do it, and leave the run, its table and its pictures in `folder`."""
        entry = Entry.named(self.entry)
        check_entry(entry, self.model, self.guide)
        data = self._opened()
        pair = build(entry, data, self.model, self.guide, seed=self.options.seed)
        _initialise(pair[0], data.train, seed=self.options.seed)
        run = fit(
            *pair,
            data,
            options=self.options,
            out=folder,
            overwrite=True,
            notes=self._notes(),
            progress=not quiet,
        )
        self._report(run, data, folder, quiet=quiet)

    def go_on(self, folder: Path, *, quiet: bool) -> None:
        """Do what is left of it: train on, or only report."""
        from rich.console import Console

        finished = read_run(folder)["state"] == "finished"
        if finished and (folder / _REPORT).is_file():
            Console(highlight=False).print(f"{folder} is finished: there is nothing left to do.")
        elif finished:
            self._report(Run.load(folder), self._opened(), folder, quiet=quiet)
        elif has_checkpoint(folder):
            data = self._opened()
            run = resume(folder, data, progress=not quiet)
            self._report(run, data, folder, quiet=quiet)
        else:
            self.run(folder, quiet=quiet)

    def _opened(self) -> Any:  # noqa: ANN401 - any data set of image sequences
        from rich.console import Console

        reads = Entry.named(self.entry).reads
        data = self.data.open(seed=self.options.seed, reads=reads)
        Console(highlight=False).print(
            f"{data.name}: {len(data.train)} training and {len(data.test)} test "
            f"{_in_words(data, reads)}"
        )
        return data

    def _report(self, run: Run, data: Any, folder: Path, *, quiet: bool) -> None:  # noqa: ANN401
        from rich.console import Console

        from .codes import OrdersLatents
        from .core_report import core_report
        from .report import report
        from .task_report import task_report

        if not leads():
            return
        console = Console(highlight=False)
        if isinstance(run.model, OrdersLatents):
            others = self._train_autoencoders(data, quiet=quiet)
            findings = core_report(
                run, data, folder, autoencoders=others, draws=self.draws, progress=not quiet
            )
            console.print(findings.table("held-out images"))
            console.print(f"Pictures: {folder / 'figures'}   codes: {folder / 'posterior.nc'}")
            return
        if Entry.named(self.entry).reads == "tasks":
            findings = task_report(run, data, folder, draws=self.draws, progress=not quiet)
            console.print(findings.table("new tasks"))
            console.print(f"Pictures: {folder / 'figures'}   heads: {folder / 'posterior.nc'}")
            return
        baseline = self._train_baseline(len(data.train), quiet=quiet)
        findings = report(
            run, data, folder, baseline=baseline, draws=self.draws, progress=not quiet
        )
        console.print(findings.table())
        console.print(f"Pictures: {folder / 'figures'}   posterior: {folder / 'posterior.nc'}")

    def _train_autoencoders(self, data: Any, *, quiet: bool) -> list[Run]:  # noqa: ANN401
        """Train autoencoders of the same images, as many steps as the flow."""
        plain = {"batch_size": self.options.batch_size, "seed": self.options.seed}
        steps = {"max_steps": self.options.steps(len(data.train))}
        options, entry = FitOptions.from_dict(plain | steps), Entry.named("vae")
        runs = []
        for size in self.autoencoders:
            pair = build(entry, data, {"latent_dim": size}, {}, seed=self.options.seed)
            runs.append(fit(*pair, data.as_frames(), options=options, progress=not quiet))
        return runs

    def _train_baseline(self, count: int, *, quiet: bool) -> Run | None:
        entry = Entry.named(self.entry)
        if entry.baseline is None or not self.baseline:
            return None
        steps = min(_BASELINE_STEPS, self.options.steps(count))
        plain = {"batch_size": self.options.batch_size, "seed": self.options.seed}
        options = FitOptions.from_dict(plain | {"max_steps": steps})
        sizes = {name: value for name, value in self.model.items() if name in entry.shared}
        data = replace(self.data, labelled=False).open(seed=options.seed)
        pair = build(Entry.named(entry.baseline), data, sizes, {}, seed=options.seed)
        return fit(*pair, data, options=options, progress=not quiet)


def _initialise(model: torch.nn.Module, train: Any, *, seed: int) -> None:  # noqa: ANN401
    """Let a model that can start from data look at some."""
    start: Any = getattr(model, "initialise", None)
    if start is not None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            wanted = getattr(model, "starting_data", _STARTED_FROM)
            start(**train.batch(torch.arange(min(wanted, len(train)))))


def _in_words(data: Any, reads: str) -> str:  # noqa: ANN401 - any data set
    if reads == "tasks":
        return f"tasks of {data.points} points of {'x'.join(map(str, data.input_shape))}"
    shape = "x".join(map(str, data.image_shape))
    return (
        f"images of {shape}" if reads == "stills" else f"sequences of {data.length} frames {shape}"
    )


def _names(config: Any) -> set[str]:  # noqa: ANN401 - a configuration's class
    return {one.name for one in fields(config)}

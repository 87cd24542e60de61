"""The main job of the command line: data, training, baseline, posterior, table and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..guides.registry import Entry
from .fit import FitOptions, fit
from .run import Run

if TYPE_CHECKING:
    from .cli import DataOptions

__all__ = ["Job", "build"]

_BASELINE_STEPS = 1500


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
        data: Gives the shape of images and the length of sequences.
        model: Further fields of the model's configuration.
        guide: Fields of the guide's configuration.
        seed: Of the initial parameters.

    Raises:
        ConfigError: A field is unknown or out of range.
    """
    shape = {"image_shape": data.image_shape, "length": data.length}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = entry.model(entry.model.Config.from_dict(shape | model))
        return made, entry.guide(made, entry.guide.Config.from_dict(guide))


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that `mutoscope fit` was asked to do.

    Attributes:
        entry: Which model.
        data: What to learn from.
        options: How to train.
        model: Fields of the model's configuration.
        guide: Fields of the guide's configuration.
        draws: Number of posterior draws for each sequence.
        baseline: Whether to train the entry's baseline on the same data.
        quiet: Whether to leave out the progress bars.
    """

    entry: Entry
    data: DataOptions
    options: FitOptions
    model: dict[str, Any] = field(default_factory=dict)
    guide: dict[str, Any] = field(default_factory=dict)
    draws: int = 100
    baseline: bool = True
    quiet: bool = False

    def run(self, folder: Path) -> Run:
        """Do it, and leave the run, its table and its pictures in `folder`."""
        from rich.console import Console

        from .report import report

        console = Console(highlight=False)
        self._check_sizes()
        data = self.data.open(seed=self.options.seed)
        console.print(
            f"{data.name}: {len(data.train)} training and {len(data.test)} test sequences of "
            f"{data.length} frames {'x'.join(map(str, data.image_shape))}"
        )
        run = self._train(self.entry, data, self.options, self.model, self.guide)
        run.settings["data"] = self.data.to_dict()
        run.save(folder)
        baseline = self._train_baseline(data)
        findings = report(run, data, folder, baseline=baseline, draws=self.draws)
        console.print(findings.table())
        console.print(f"Pictures: {folder / 'figures'}   posterior: {folder / 'posterior.nc'}")
        return run

    def _check_sizes(self) -> None:
        """Refuse configurations that are wrong whatever the data, before these are opened."""
        self.entry.model.Config.from_dict({"image_shape": (1, 1, 1)} | self.model)
        self.entry.guide.Config.from_dict(self.guide)

    def _train(
        self,
        entry: Entry,
        data: Any,  # noqa: ANN401 - any data set of image sequences
        options: FitOptions,
        model: dict[str, Any],
        guide: dict[str, Any],
    ) -> Run:
        pair = build(entry, data, model, guide, seed=options.seed)
        return fit(*pair, data, options=options, progress=not self.quiet)

    def _train_baseline(self, data: Any) -> Run | None:  # noqa: ANN401
        if self.entry.baseline is None or not self.baseline:
            return None
        steps = min(_BASELINE_STEPS, self.options.max_steps)
        options = FitOptions.from_dict(self.options.to_dict() | {"max_steps": steps, "restarts": 1})
        sizes = {name: value for name, value in self.model.items() if name in self.entry.shared}
        return self._train(Entry.named(self.entry.baseline), data, options, sizes, {})

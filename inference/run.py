"""A run: a trained model and guide, its history, and the folder it lives in."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..guides.registry import Entry, entry_of
from ..zoo.errors import DataError, MutoscopeError

if TYPE_CHECKING:
    import arviz

__all__ = ["SCHEMA", "Run"]

SCHEMA = 1
_CONFIG, _WEIGHTS, _HISTORY = "config.json", "model.safetensors", "history.csv"


@dataclass(eq=False)
class Run:
    """What training leaves behind.

    Attributes:
        model: The trained model.
        guide: The trained guide.
        history: Rows of every term of the ELBO, by name.
        settings: How it was made: JSON values.
    """

    model: nn.Module
    guide: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def posterior(
        self,
        data: Any,  # noqa: ANN401 - a split or a mapping of tensors
        *,
        draws: int = 200,
        seed: int = 0,
    ) -> arviz.InferenceData:
        """Draw from the guide, labelled; see `mutoscope.inference.posterior.posterior`."""
        from .posterior import posterior

        return posterior(self.model, self.guide, data, draws=draws, seed=seed)

    def save(self, folder: str | Path) -> Path:
        """Write the run to a folder: JSON, safetensors and CSV, each file in one move.

        Raises:
            ConfigError: The model or the guide is not registered, so it could not be loaded.
        """
        from safetensors.torch import save_file

        entry = entry_of(self.model, self.guide)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        described = {
            "schema": SCHEMA,
            "entry": entry.name,
            "model": _config(self.model),
            "guide": _config(self.guide),
            "settings": self.settings,
        }
        weights = {
            f"{part}.{name}": tensor.contiguous()
            for part, module in (("model", self.model), ("guide", self.guide))
            for name, tensor in module.state_dict().items()
        }
        write_whole(folder / _WEIGHTS, lambda path: save_file(weights, path))
        write_whole(folder / _HISTORY, self._write_history)
        text = json.dumps(described, indent=2) + "\n"
        write_whole(folder / _CONFIG, lambda path: path.write_text(text))
        return folder

    def _write_history(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.history[0]) if self.history else ["step"])
            writer.writeheader()
            writer.writerows(self.history)

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a run back; its numbers are equal to those that were saved.

        Raises:
            DataError: The folder is not a run, or is damaged or from a newer version.
        """
        folder = Path(folder)
        described = _read_json(folder / _CONFIG)
        if described.get("schema") != SCHEMA:
            raise DataError(
                f"{folder} has schema {described.get('schema')!r}; this version of Mutoscope reads "
                f"{SCHEMA}. Upgrade Mutoscope, or check that the folder is a run."
            )
        try:
            entry = Entry.named(described["entry"])
            model = entry.model(entry.model.Config.from_dict(described["model"]))
            guide = entry.guide(model, entry.guide.Config.from_dict(described["guide"]))
            weights = _read_weights(folder / _WEIGHTS)
            for part, module in (("model", model), ("guide", guide)):
                module.load_state_dict(_under(weights, part))
            history = _read_history(folder / _HISTORY)
        except (KeyError, RuntimeError, OSError, ValueError) as error:
            if isinstance(error, MutoscopeError):
                raise
            raise DataError(f"{folder} is damaged: {error}. Train again or restore it.") from error
        return cls(model.eval(), guide.eval(), history, described.get("settings", {}))


def _config(module: nn.Module) -> dict[str, Any]:
    config: Any = module.config
    return dict(config.to_dict())


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that it is never seen half written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path.parent} is not a run: it has no {path.name}.")
    try:
        described = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}. Train again or restore it.") from error
    if not isinstance(described, dict):
        raise DataError(f"{path} holds {type(described).__name__}, expected an object.")
    return described


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}. Train again or restore it.") from error


def _under(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _read_history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

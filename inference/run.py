"""A run: a trained model and guide, its history, and the folder it lives in."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor, nn

from .. import __version__
from ..guides.registry import Entry, entry_of
from ..zoo.errors import ConfigError, RunError
from .checkpoint import drop_checkpoint
from .migrations import SCHEMA, as_json, read_described
from .sealed import is_sealed, seal, unseal

if TYPE_CHECKING:
    import arviz

__all__ = [
    "HISTORY",
    "Run",
    "begin_run",
    "build_pair",
    "describe_run",
    "read_run",
    "read_unfinished",
]

HISTORY = "history.csv"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_FINDINGS = (  # of an earlier run
    "report.json",
    "check.html",
    "posterior.nc",
    "posterior.zarr",
    "figures",
    "failure",
)

Pair = tuple[nn.Module, nn.Module]


@dataclass(eq=False)
class Run:
    """What training leaves behind.

    Attributes:
        model: The trained model.
        guide: The trained guide.
        history: Rows of every term of the ELBO, by name; a row may lack some of them.
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
        refine: int = 0,
        resample: bool = False,
        **options: Any,  # noqa: ANN401 - each of its own type
    ) -> arviz.InferenceData:
        """Draw from the guide, labelled, with all that ArviZ makes use of.

        Args:
            data: A split, or observed tensors by name; first axis the data.
            draws: Number of draws of each datum.
            seed: Seed of the draws.
            refine: Number of steps by which the guide is refined for each datum before; see
                `mutoscope.inference.refinement.refine`.
            resample: Whether to draw again among the draws of each datum by their importance
                weights; see `mutoscope.inference.resampling.resample`. Then all draws are in
                memory, also with `out`.
            options: `groups`, `predictive_draws`, `out`, `batch_size` and `progress`; see
                `mutoscope.inference.posterior.posterior`, where all of this is told.
        """
        from .posterior import posterior
        from .refinement import refine as refined
        from .resampling import resample as resampled
        from .storage import storage_for

        guide = self.guide
        if refine:
            guide = refined(self.model, guide, data, steps=refine, seed=seed)
        if (out := options.pop("out", None) if resample else None) is not None:
            storage_for(Path(out))  # refuses it before anything is drawn
        idata = posterior(self.model, guide, data, draws=draws, seed=seed, **options)
        return resampled(idata, seed=seed, out=out) if resample else idata

    def save(self, folder: str | Path) -> Path:
        """Write the run to a folder: JSON, safetensors and CSV, all at once and with their hashes.

        Raises:
            RunError: Weights are not finite, settings are no JSON values, or the folder cannot be
                written to. What it held before is whole.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        described = describe_run(self.model, self.guide, self.settings, "finished")
        state = _state(self.model, self.guide)
        # Copies, because the format has no place for tensors that share memory.
        weights = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
        seal(
            folder,
            {
                _CONFIG: lambda path: path.write_text(as_json(described), encoding="utf-8"),
                _WEIGHTS: lambda path: save_file(weights, path),
                HISTORY: lambda path: _write_history(path, self.history),
            },
        )
        return folder

    @classmethod
    def load(cls, folder: str | Path, pair: Pair | None = None) -> Run:
        """Read a run back; its numbers are equal to those that were saved, dtypes included.

        Args:
            folder: Where it was saved.
            pair: Model and guide that receive the weights, and are cast to their dtypes. They must
                be given if they are not registered; else they are built.

        Raises:
            RunError: The folder is not a finished run, is damaged, from a newer version, or not of
                this pair.
        """
        folder = Path(folder)
        described, paths = _read_folder(folder)
        if described["state"] != "finished":
            raise RunError(
                f"{folder}: training did not finish; go on with `mutoscope resume {folder}`."
            )
        if missing := sorted({_WEIGHTS, HISTORY} - paths.keys()):
            raise RunError(f"{folder} is damaged: it lacks {missing[0]}. Restore it from a copy.")
        weights = _read_weights(paths[_WEIGHTS], described["dtypes"])
        history = _read_history(paths[HISTORY])
        if pair is None:
            pair = build_pair(described, weights)
        else:
            _check_configs(pair, described)
            _check_weights(_state(*pair), weights)
        for part, module in zip(("model", "guide"), pair, strict=True):
            _put(_under(weights, f"{part}."), module)
            module.eval()
        return cls(*pair, history, described["settings"])


def begin_run(
    folder: Path | None,
    model: nn.Module,
    guide: nn.Module,
    settings: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Write what is known of a run before its first step; a run that is there already is deleted.

    Args:
        folder: Folder of the run; None writes nothing.
        model: The model that is to be trained.
        guide: Its guide.
        settings: JSON values to keep.
        overwrite: Whether the folder may hold a run.

    Raises:
        RunError: It holds a run, cannot be written to, or the pair could not be saved at the end.
    """
    if folder is None:
        return
    if not overwrite and (is_sealed(folder) or os.path.lexists(folder / _CONFIG)):
        raise RunError(
            f"{folder} holds a run already. Choose another folder, go on with it by `mutoscope "
            f"resume {folder}`, or overwrite it."
        )
    describe_run(model, guide, settings, "training")  # raises before anything is deleted
    # First, lest the new run ever goes on from the state of the old one.
    drop_checkpoint(folder)
    for name in _FINDINGS:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    note_settings(folder, model, guide, settings)


def note_settings(
    folder: Path, model: nn.Module, guide: nn.Module, settings: Mapping[str, Any]
) -> None:
    """Write the settings of a run that is being trained.

    Raises:
        RunError: The folder cannot be written to, or the pair could not be saved at the end.
    """
    text = as_json(describe_run(model, guide, settings, "training"))
    seal(folder, {_CONFIG: lambda path: path.write_text(text, encoding="utf-8")})


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `describe_run` said of a run.

    Raises:
        RunError: The folder is not a run, or is damaged.
    """
    described, _ = _read_folder(folder)
    return described


def read_unfinished(folder: Path) -> dict[str, Any]:
    """Return what `describe_run` said of a run whose training has begun and not finished.

    Raises:
        RunError: The folder is not a run, is damaged, or its training has finished.
    """
    described = read_run(folder)
    if described["state"] == "finished":
        raise RunError(
            f"Training of {folder} has finished, so there is nothing to resume. Open it with "
            "Run.load, or train anew in another folder."
        )
    return described


def describe_run(
    model: nn.Module, guide: nn.Module, settings: Mapping[str, Any], state: str
) -> dict[str, Any]:
    """Return what the `config.json` of a run says.

    Args:
        model: Its model.
        guide: Its guide.
        settings: JSON values to keep.
        state: "training" or "finished".

    Raises:
        RunError: Weights are not finite tensors, or settings are no JSON values.
    """
    weights, pair = _state(model, guide), {"model": model, "guide": guide}
    if name := _first_not_finite(weights):
        raise RunError(
            f"{name} is no tensor of finite numbers, and only such can be saved. Train again with "
            "a lower learning rate, or let it be a buffer with persistent=False."
        )
    try:
        entry = entry_of(model, guide).name
    except ConfigError:
        entry = None
    versions = {"mutoscope": __version__, "torch": str(torch.__version__)}
    described = {
        "schema": SCHEMA,
        "state": state,
        "entry": entry,
        "classes": {
            part: f"{type(module).__module__}:{type(module).__qualname__}"
            for part, module in pair.items()
        },
        **{part: _config(module) for part, module in pair.items()},
        "dtypes": _dtypes(weights),
        "settings": dict(settings),
        "versions": versions | {"pyro": pyro.__version__, "python": platform.python_version()},
    }
    read: dict[str, Any] = json.loads(as_json(described))
    return read


def build_pair(described: Mapping[str, Any], weights: Mapping[str, Tensor] | None = None) -> Pair:
    """Build the model and the guide of a run, with new weights.

    Args:
        described: What `describe_run` said of it.
        weights: If given, nothing is allocated unless these would fit.

    Raises:
        RunError: The pair is not registered, the configurations are refused, or weights do not fit.
    """
    if described["entry"] is None:
        named = " and ".join(map(str, described["classes"].values()))
        raise RunError(f"{named} are not registered: build both, and give them as `pair`.")
    try:
        entry = Entry.named(described["entry"])
        if weights is not None:
            with torch.device("meta"):
                _check_weights(_state(*_built(entry, described)), weights)
        return _built(entry, described)
    except RunError:
        raise
    except Exception as error:  # whatever a constructor makes of a bad configuration
        raise RunError(
            f"The run's model and guide cannot be built from its {_CONFIG}: {error} Install what "
            "it was trained with, or restore it from a copy."
        ) from error


def _built(entry: Entry, described: Mapping[str, Any]) -> Pair:
    model = entry.model(entry.model.Config.from_dict(described["model"]))
    return model, entry.guide(model, entry.guide.Config.from_dict(described["guide"]))


def _config(module: nn.Module) -> dict[str, Any] | None:
    config: Any = getattr(module, "config", None)
    return dict(config.to_dict()) if hasattr(config, "to_dict") else None


def _state(model: nn.Module, guide: nn.Module) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor
        for part, module in (("model", model), ("guide", guide))
        for name, tensor in module.state_dict().items()
    }


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _dtypes(weights: Mapping[str, Tensor]) -> list[str]:
    return sorted({str(tensor.dtype).removeprefix("torch.") for tensor in weights.values()})


def _put(weights: Mapping[str, Tensor], module: nn.Module) -> None:
    """Copy weights into a module, which takes on their dtypes; tied parameters stay tied."""
    for name, tensor in module.state_dict(keep_vars=True).items():
        tensor.data = tensor.data.to(weights[name].dtype)
    floats = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(floats) == 1:
        dtype = floats.pop()
        for buffer in module.buffers():  # those that are not saved go along
            if buffer.is_floating_point():
                buffer.data = buffer.data.to(dtype)
    module.load_state_dict(weights)


def _first_not_finite(weights: Mapping[str, Tensor]) -> str | None:
    finite = (isinstance(t, Tensor) and bool(t.isfinite().all()) for t in weights.values())
    return next((name for name, good in zip(weights, finite, strict=True) if not good), None)


def _check_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse weights of other names, shapes or kinds; any floats may stand for floats."""
    wrong = [f"lacks {name}" for name in expected.keys() - found.keys()]
    wrong += [f"has {name}, which they do not" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        own, other = expected[name], found[name]
        if own.shape != other.shape:
            wrong.append(f"has {name} of shape {tuple(other.shape)}, not {tuple(own.shape)}")
        elif own.dtype != other.dtype and not (
            own.is_floating_point() and other.is_floating_point()
        ):
            wrong.append(f"has {name} of {other.dtype}, not {own.dtype}")
    if wrong:
        raise RunError(
            f"{_WEIGHTS} does not fit the model and the guide: it {'; it '.join(sorted(wrong)[:4])}"
            f"{'; …' if len(wrong) > 4 else ''}. Use the configurations of the run, or restore it."
        )


def _check_configs(pair: Pair, described: Mapping[str, Any]) -> None:
    """Refuse modules of another configuration: weights that fit would mean something else."""
    for part, module in zip(("model", "guide"), pair, strict=True):
        saved, own = described[part] or {}, json.loads(json.dumps(_config(module) or {}))
        other = [name for name in saved if name not in own or saved[name] != own[name]]
        if other:
            raise RunError(
                f"The {part} that was given has another configuration than the run: "
                + ", ".join(f"{n}={own.get(n)!r}, not {saved[n]!r}" for n in other[:4])
                + ". Build it from that of the run."
            )


def _read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return what a run says of itself, and its files by name."""
    sealed = is_sealed(folder)
    names = (_CONFIG, _WEIGHTS, HISTORY)
    paths = (
        unseal(folder) if sealed else {n: folder / n for n in names if os.path.isfile(folder / n)}
    )
    if _CONFIG not in paths:
        raise RunError(f"{folder} is not a run: it has no {_CONFIG}. Give the folder of a run.")
    described, schema = read_described(paths[_CONFIG])
    if not sealed and schema > 1:
        raise RunError(f"{folder} is damaged: its SHA256SUMS is missing. Restore it from a copy.")
    return described, paths


def _read_weights(path: Path, dtypes: list[str] | None) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except Exception as error:  # whatever the library makes of another format
        raise RunError(f"{path} is damaged: {error}. Restore it from a copy.") from error
    if dtypes is not None and dtypes != _dtypes(weights):
        raise RunError(
            f"{path} is damaged: it holds {', '.join(_dtypes(weights))}, but "
            f"{', '.join(map(str, dtypes))} were saved. Restore it from a copy."
        )
    if name := _first_not_finite(weights):
        raise RunError(f"{path} is damaged: {name} holds NaN or infinity. Restore it from a copy.")
    return weights


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def _read_history(path: Path) -> list[dict[str, float]]:
    try:
        text = path.read_bytes().decode()
        if not text.endswith("\n"):
            raise ValueError("its last line has no end")
        columns, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        if len(set(columns)) < len(columns):
            raise ValueError(f"a column appears twice among {columns}")
        return [
            {name: float(cell) for name, cell in zip(columns, line, strict=True) if cell}
            for line in lines
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} is damaged: {error}. Restore it from a copy.") from error

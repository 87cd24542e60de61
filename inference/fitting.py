"""Training: stochastic variational inference for any model and guide that keep the contract."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyro
import torch
from torch import Tensor, nn

from ..zoo.errors import ConfigError, DataError, MutoscopeError
from .batches import Split, Tensors, as_split, count_of, held_in_memory, like, splits_of
from .checkpoint import drop_checkpoint
from .collapse import collapsed_latents, declared_alarms
from .description import describe
from .loggers import Logger, as_loggers, open_loggers
from .metrics.particles import evaluation
from .options import FitOptions
from .processes import leave_at_exit, on_the_first
from .progress import announce
from .run import Run, begin_run, build_pair, note_settings, read_unfinished
from .session import Record, Session
from .training import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["FitOptions", "fit", "resume"]

_CHUNK = 1024
_LOOKED_AT = 64
_KINDS = {"options": FitOptions, "out": str | Path, "notes": dict}
_MAY_CHANGE = {"max_steps", "max_epochs", "patience", "log_every", "checkpoint_seconds"}


def fit(
    model: nn.Module,
    guide: nn.Module,
    data: Any,  # noqa: ANN401 - a data set with splits, one split, or a mapping of tensors
    *,
    options: FitOptions | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    loggers: Sequence[str | Logger] = (),
    notes: dict[str, Any] | None = None,
    **overrides: Any,  # noqa: ANN401 - fields of FitOptions
) -> Run:
    """Train a guide and a model together by maximising the ELBO.

    Before the first step, `describe` runs both on a batch and refuses what cannot work. If the
    model declares `windows`, early training looks at random stretches of each sequence. Schedules
    that model and guide declare (`schedules`, buffers by name) and those of the model's
    `kl_schedule`, a weight for the KL of each site, are driven over the course of training.
    If the guide has `watched(batch)`, the numbers that it finds on held-out data are columns of the
    history, too. Afterwards, `guide.alarms(batch, history)`, if there is one, says what it finds
    wrong.

    With `out`, the state of training is saved as it goes. After SIGINT, SIGTERM or a crash,
    `resume` goes on from there and ends with the same weights, bit for bit on the same machine, as
    if nothing had happened.

    Args:
        model: A Pyro model that keeps the contract.
        guide: Its guide; both are trained in place.
        data: What to learn from: a data set with `train` and `validation` (attributes, or keys of a
            mapping), a split, tensors by name with a common first axis, or a
            `torch.utils.data.Dataset` of such tensors.
        options: How to train.
        out: Folder of the run; None keeps it in memory.
        overwrite: Whether `out` may hold a run already, which is replaced.
        progress: Whether to show a progress bar.
        loggers: "tensorboard", "wandb" or objects with `log_metrics(metrics, step)`.
        notes: JSON values to keep in the settings of the run.
        **overrides: Single fields of `FitOptions`, such as `max_steps=1000`.

    Returns:
        The run: trained model and guide, and the history of every term of the ELBO. Its settings
        hold `alarms`, sentences that name latents that say nothing of the held-out data (see
        `mutoscope.inference.collapse`); with a progress bar they are printed, too.

    Raises:
        ConfigError: An option is unknown or out of range, or model and guide do not fit.
        DataError: The data are empty, hold values that are not finite, or are not what the model
            takes (its `check_data`, of tensors, and `check_split`, of what else is known).
        TrainingError: Something stopped being finite; the message says what, and where.
        TransportDiverged: Points ran off; the message names the step.
        RunError: The folder holds a run already, or cannot be written to.
        Interrupted: A signal asked to stop, and all is saved in `out`.
    """
    _check_arguments(options=options, out=out, notes=notes)
    options = FitOptions.from_dict(asdict(options or FitOptions()) | overrides)
    settings = {**(notes or {}), "fit": options.to_dict()}
    folder = None if out is None else Path(out)
    task = _Task(model, guide, options, settings, folder, progress, as_loggers(loggers))
    return task.run(data, begin=lambda: begin_run(folder, model, guide, settings, overwrite))


def resume(
    folder: str | Path,
    data: Any,  # noqa: ANN401 - as for `fit`
    *,
    pair: tuple[nn.Module, nn.Module] | None = None,
    progress: bool = True,
    loggers: Sequence[str | Logger] = (),
    **overrides: Any,  # noqa: ANN401 - fields of FitOptions
) -> Run:
    """Go on with a training that was stopped.

    Args:
        folder: Folder of the run.
        data: The same data as before.
        pair: Model and guide to go on with, where they are not registered.
        progress: Whether to show a progress bar.
        loggers: As for `fit`.
        **overrides: A few options that may change, such as `max_steps` to train for longer. Then
            the result is no longer that of an uninterrupted training.

    Raises:
        RunError: The folder holds no run that can go on.
        ConfigError: Another option was given.
        DataError: The data are others.
    """
    described = read_unfinished(Path(folder))
    model, guide = pair or build_pair(described)
    settings = described["settings"]
    if fixed := overrides.keys() - _MAY_CHANGE:
        raise ConfigError(
            f"A training that goes on keeps its {', '.join(sorted(fixed))}. Only "
            f"{', '.join(sorted(_MAY_CHANGE))} may change; begin another training for the rest."
        )
    options = FitOptions.from_dict(settings["fit"] | overrides)
    settings = settings | {"fit": options.to_dict()}
    task = _Task(model, guide, options, settings, Path(folder), progress, as_loggers(loggers))
    return task.run(data, begin=None)


def _check_arguments(**given: object) -> None:
    for name, value in given.items():
        kind: Any = _KINDS[name]
        if value is not None and not isinstance(value, kind):
            raise ConfigError(
                f"Found {name} of type {type(value).__name__}; expected "
                f"{getattr(kind, '__name__', kind)}. Single options are keywords of their own, "
                "such as max_steps=1000."
            )


@dataclass(frozen=True, eq=False)
class _Task:
    """One call of `fit` or `resume`."""

    model: nn.Module
    guide: nn.Module
    options: FitOptions
    settings: dict[str, Any]
    folder: Path | None
    progress: bool
    loggers: tuple[str | Logger, ...]

    def run(self, data: Any, *, begin: Callable[[], None] | None) -> Run:  # noqa: ANN401
        """Train from the beginning, or from the checkpoint if there is no `begin`."""
        for module in (self.model, self.guide):
            if self.options.restarts > 1 and not hasattr(module, "config"):
                raise ConfigError(
                    f"restarts={self.options.restarts} builds the pair again from configurations, "
                    f"but {type(module).__name__} has no `config`. Give it one, or use restarts=1."
                )
        train, held_out = self._splits(data)
        parameters = (*self.model.parameters(), *self.guide.parameters())
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        if not trainable:
            raise ConfigError("Neither the model nor the guide has a parameter to train.")
        batch = like(train.batch(_first(2, train)), trainable[0])
        if self.options.estimator == "lean":  # Pyro's own accept more, and check it themselves
            self._check_use(describe(self.model, self.guide, batch, size=len(train)).unused)
        digest = _digest(train)
        if begin is None and self.settings.get("data_digest") != digest:
            raise DataError(
                f"The run in {self.folder} was trained on other data: the first ones, or how many "
                "there are, differ. To go on exactly, give the same data."
            )
        self.settings["data_digest"] = digest
        fabric = _launched(self.options)
        devices = range(torch.cuda.device_count())
        with (
            torch.random.fork_rng(devices=devices),
            pyro.validation_enabled(False),
            pyro.settings.context(module_local_params=True),
        ):
            record = self._train(fabric, train, held_out, begin)
        for module in (self.model, self.guide):
            module.eval()
        alarms = self._alarms(held_out, trainable[0], record.history)
        announce(alarms, enabled=self.progress and fabric.is_global_zero)
        settings = self.settings | {"restart scores": record.scores, "alarms": alarms}
        run = Run(self.model, self.guide, record.history, settings)
        if self.folder is not None:
            on_the_first(fabric, lambda: self._finish(run))
        return run

    def _alarms(
        self, held_out: Split | None, like_parameter: Tensor, history: list[dict[str, float]]
    ) -> list[str]:
        """Return in words what has collapsed, seen on held-out data: latents, and what else."""
        if held_out is None or self.options.estimator != "lean":
            return []
        some = like(held_out.batch(_first(_LOOKED_AT, held_out)), like_parameter)
        try:
            found = [str(each) for each in collapsed_latents(self.model, self.guide, some)]
            with evaluation(self.model, self.guide, seed=0):
                return [*found, *declared_alarms(self.guide, some, history)]
        except (MutoscopeError, TypeError, ValueError, RuntimeError):
            return []  # what can be trained but not looked at: training is not lost for that

    def _check_use(self, unused: tuple[str, ...]) -> None:
        several = self.options.devices * self.options.num_nodes > 1
        if several and unused and self.options.strategy != "ddp_find_unused_parameters_true":
            raise ConfigError(
                f"The loss does not depend on {', '.join(unused)}, for whose gradients several "
                "devices would wait for ever. Remove them, call requires_grad_(False) on them, or "
                "use strategy='ddp_find_unused_parameters_true'."
            )

    def _train(
        self,
        fabric: Fabric,
        train: Split,
        held_out: Split | None,
        begin: Callable[[], None] | None,
    ) -> Record:
        kept = held_in_memory(train, fabric.device, self.options.data_device)
        training = Training(fabric, self.model, self.guide, kept, self.options)
        scored = {} if held_out is None else _scored(training, held_out)
        wanted = (*self.loggers, *self.options.loggers) if fabric.is_global_zero else ()
        with open_loggers(wanted, self.folder, self.settings) as loggers:
            session = Session(training, scored, self.folder, loggers)
            if begin is None:
                session.resume()
            on_the_first(fabric, lambda: self._note(begin))
            return session.run(progress=self.progress)

    def _finish(self, run: Run) -> None:
        folder = cast(Path, self.folder)
        run.save(folder)
        drop_checkpoint(folder)

    def _note(self, begin: Callable[[], None] | None) -> None:
        """Write what is known of the run before its next step."""
        if begin is not None:
            begin()
        elif self.folder is not None:
            note_settings(self.folder, self.model, self.guide, self.settings)

    def _splits(self, data: Any) -> tuple[Split, Split | None]:  # noqa: ANN401 - see `fit`
        train, held_out = splits_of(data)
        if check_split := getattr(self.model, "check_split", None):
            check_split(train)
        train = as_split(train)
        held_out = as_split(held_out) if held_out is not None and count_of(held_out) else None
        for split in (train, held_out):
            _check(self.model, split)
        if held_out is None and (self.options.patience is not None or self.options.keep == "best"):
            raise ConfigError(
                "patience and keep='best' watch the ELBO of held-out data, but there are none. "
                "Give a data set with a `validation` split, or leave these options out."
            )
        return train, held_out


def _scored(training: Training, held_out: Split) -> dict[str, Tensor]:
    """Return the held-out data that are scored, once the first of them have been."""
    batch = training.held_out(held_out)
    try:
        some = {name: tensor[:2] for name, tensor in batch.items()}
        training.score(some)
        training.watched(some)
    except MutoscopeError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch.items()}
        reason = str(error).split("Trace Shapes:")[0].strip()
        raise DataError(
            f"Found held-out data {found} that cannot be scored, though training data can: "
            f"{reason}. Give both the same names, types and shapes."
        ) from error
    return batch


def _first(count: int, split: Split) -> Tensor:
    return torch.arange(min(count, len(split)))


def _digest(split: Split) -> str:
    """Return what tells data sets apart: how many data, and what the first ones are."""
    found = hashlib.sha256(str(len(split)).encode())
    for name, tensor in sorted(split.batch(_first(16, split)).items()):
        content = tensor.detach().cpu().contiguous().view(torch.uint8)  # NumPy has no bfloat16
        found.update(name.encode() + content.numpy().tobytes())
    return found.hexdigest()[:16]


def _check(model: nn.Module, split: Split | None) -> None:
    """Let the model refuse the data: all that are in memory, else the first ones."""
    check: Callable[[dict[str, Tensor]], None] | None = getattr(model, "check_data", None)
    if split is None or check is None:
        return
    chunks = torch.arange(len(split)).split(_CHUNK)
    for indices in chunks if isinstance(split, Tensors) else chunks[:1]:
        check(split.batch(indices))


def _launched(options: FitOptions) -> Fabric:
    """Return Lightning Fabric, with all processes running."""
    from lightning_fabric import Fabric

    try:
        fabric = Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.num_nodes,
            strategy=options.strategy,
            precision=options.precision,
        )
    except (ValueError, RuntimeError, TypeError, ImportError) as error:
        raise ConfigError(
            f"Training cannot run on accelerator={options.accelerator!r}, "
            f"devices={options.devices}, strategy={options.strategy!r}, "
            f"precision={options.precision!r}: {error}"
        ) from error
    fabric.launch()
    if fabric.world_size > 1:
        leave_at_exit()
    return fabric

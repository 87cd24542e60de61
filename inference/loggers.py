"""Where rows of the history go while training runs: CSV always, TensorBoard and W&B on request."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..zoo.errors import ConfigError, RunError

__all__ = ["CsvLog", "Logger", "as_loggers", "open_loggers"]


class Logger(Protocol):
    """Takes the rows of a history; `lightning.fabric` loggers and users' own fit."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> object:
        """Take the row that ends at a step, counted over all candidates of the restarts."""


class CsvLog:
    """Appends rows to a file that can be read while training runs.

    Args:
        path: The file; what it holds is replaced.
        rows: Rows to begin with.

    Raises:
        RunError: It cannot be written, because the disk is full, say.
    """

    def __init__(self, path: Path, rows: Sequence[Mapping[str, float]] = ()) -> None:
        self.path = path
        self._columns: list[str] = []
        path.unlink(missing_ok=True)
        for row in rows:
            self.append(row)

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; the first one names the columns."""
        first = not self._columns
        self._columns = self._columns or list(row)
        try:
            with self.path.open("a", newline="") as file:
                writer = csv.DictWriter(file, self._columns, extrasaction="ignore")
                if first:
                    writer.writeheader()
                writer.writerow(dict(row))
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be written: {error}. Make room, then go on from the last "
                "checkpoint with `mutoscope resume`."
            ) from error


def as_loggers(wanted: Sequence[str | Logger]) -> tuple[str | Logger, ...]:
    """Return loggers that were asked for, not open yet.

    Raises:
        ConfigError: They are no sequence of names and objects with `log_metrics`.
    """
    several = isinstance(wanted, Sequence) and not isinstance(wanted, str)
    if not several or not all(map(_is_logger, wanted)):
        raise ConfigError(
            f"Found loggers of type {type(wanted).__name__}; expected a list of names "
            "('tensorboard', 'wandb') and of "
            "objects with `log_metrics(metrics, step)`."
        )
    return tuple(wanted)


def _is_logger(each: object) -> bool:
    return isinstance(each, str) or callable(getattr(each, "log_metrics", None))


@contextlib.contextmanager
def open_loggers(
    wanted: Sequence[str | Logger], folder: Path | None, settings: Mapping[str, Any]
) -> Iterator[list[Logger]]:
    """Open loggers that are called by name, and close these in the end.

    Args:
        wanted: "tensorboard", "wandb", or objects with `log_metrics(metrics, step)`.
        folder: Folder of the run, where they write.
        settings: What they record beside the rows.

    Yields:
        All that are wanted, in order.

    Raises:
        ConfigError: A name is unknown, its library is not installed, or there is no folder.
    """
    with contextlib.ExitStack() as own:
        loggers: list[Logger] = []
        for each in wanted:
            if isinstance(each, str):
                logger = _by_name(each, folder, settings)
                own.push(logger.close)
                loggers.append(logger)
            else:
                loggers.append(each)
        yield loggers


def _by_name(name: str, folder: Path | None, settings: Mapping[str, Any]) -> _TensorBoard | _Wandb:
    if name not in ("tensorboard", "wandb"):
        raise ConfigError(f"There is no logger called {name!r}. Known: 'tensorboard', 'wandb'.")
    if folder is None:
        raise ConfigError(f"The logger {name!r} writes to the folder of the run. Give `out`.")
    try:
        return _TensorBoard(folder) if name == "tensorboard" else _Wandb(folder, settings)
    except ImportError as error:
        raise ConfigError(
            f"The logger {name!r} needs a library that is not installed ({error}). "
            f"Install it with: pip install 'mutoscope[{name}]'."
        ) from error


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *_: object) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self._run: Any = wandb.init(
            project="mutoscope", name=folder.name, dir=str(folder), config=dict(settings)
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self, error: type[BaseException] | None, *_: object) -> None:
        self._run.finish(exit_code=0 if error is None else 1)

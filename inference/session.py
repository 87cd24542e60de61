"""Training from start to end: rows of history, checkpoints, early stopping, restarts."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..zoo.errors import Interrupted, RunError, TrainingError
from .checkpoint import load_checkpoint, save_checkpoint
from .limits import enough_memory
from .loggers import CsvLog, Logger
from .processes import on_the_first, over_processes
from .progress import TrainingProgress
from .run import HISTORY
from .sentinel import FAILURE, save_failure
from .signals import StopRequest, stop_requests
from .training import Failure, Moment, Training

__all__ = ["Record", "Session"]

_BEST, _RIVAL = "best.", "rival."
_LOOK = (
    500  # steps after which a failure is looked for at the latest: each is remembered until then
)


@dataclass
class Record:
    """What training has found so far.

    Attributes:
        history: Rows of every term of the ELBO, by name.
        seconds: Time spent on all steps.
        best: Highest held-out ELBO of a row.
        waited: Number of rows since.
        scores: Held-out ELBO of each candidate of the restarts.
        rival: Record of the best candidate so far, and its numbers.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: float = -math.inf
    waited: int = 0
    scores: list[float] = field(default_factory=list)
    rival: dict[str, Any] = field(default_factory=dict)


class Session:
    """Takes all the steps of a training.

    Args:
        training: The optimizer's steps.
        held_out: Data to score; empty if there are none.
        folder: Folder of the run; None keeps nothing.
        loggers: Further takers of the rows, in the first process.
    """

    def __init__(
        self,
        training: Training,
        held_out: Mapping[str, Tensor],
        folder: Path | None,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self.training, self.held_out = training, held_out
        self.leads = training.fabric.is_global_zero
        self.folder, self.loggers = folder, loggers
        self.options, self.record = training.options, Record()
        self._best: dict[str, Tensor] = {}
        self._rival: dict[str, Tensor] = {}
        self._csv: CsvLog | None = None
        self._early = max(1, training.steps // 5) if self.options.restarts > 1 else 0
        self._on_host = training.fabric.device.type == "cpu"

    def run(self, *, progress: bool) -> Record:
        """Train to the end, or until early stopping.

        Raises:
            TrainingError: Something stopped being finite, and the last finite state is in place; or
                the device has too little memory.
            Interrupted: A signal asked to stop, and all is saved.
        """
        memory = enough_memory(self.options.batch_size)
        with self._stoppable() as request, self._bar(progress) as bar, memory:
            self._begin()
            while not self._finished():
                self._advance(request, bar)
        if self.options.keep == "best" and self._best:
            self.training.load_weights(self._best)
        return self.record

    def _begin(self) -> None:
        self._started = self._saved = time.monotonic()
        self._seconds_before = self.record.seconds
        if self.folder is not None:
            on_the_first(self.training.fabric, self._open_csv)
        self._save()

    def _open_csv(self) -> None:
        self._csv = CsvLog(cast(Path, self.folder) / HISTORY, self.record.history)

    def _advance(self, request: StopRequest, bar: TrainingProgress) -> None:
        training = self.training
        training.advance()
        row_ends = (
            not training.step % self.options.log_every
            or training.step == training.steps
            or (self._racing() and training.step >= self._early)
        )
        signal, due = self._agreed(request, row_ends)
        look = self._on_host or row_ends or signal or not training.step % _LOOK
        if look and (moment := training.failure()):
            self._fail(moment)
        if row_ends:
            self._row(bar)
        if signal or due:
            self._save()
        if signal:
            raise Interrupted(
                f"Stopped by a signal after step {training.step} of {training.steps}. All is saved "
                f"in {self.folder}; go on with `mutoscope resume {self.folder}`.",
                signal,
            )

    def _agreed(self, request: StopRequest, row_ends: bool) -> tuple[int, bool]:
        """Return which signal came, and whether a checkpoint is due.

        Processes agree on both, at the end of a row: each has a clock and signals of its own.
        """
        due = row_ends and time.monotonic() - self._saved >= self.options.checkpoint_seconds
        if self.training.fabric.world_size == 1:
            return request.signal, due
        if not row_ends:
            return 0, False
        both = torch.tensor([request.signal, due], device=self.training.fabric.device)
        both = over_processes(self.training.fabric, both, "max")
        return int(both[0]), bool(both[1])

    def _row(self, bar: TrainingProgress) -> None:
        """End a row of the history."""
        now = self._seconds_before + time.monotonic() - self._started
        means, seen = self.training.means()
        rate = seen / max(now - self.record.seconds, 1e-9)
        self.record.seconds = now
        row = {"step": self.training.step, "seconds": now, **means}
        if self.held_out:
            row["validation elbo"] = self.training.score(self.held_out)
            self._require_finite(row["validation elbo"])
            self._compare(row["validation elbo"])
        watched = self.training.watched(self.held_out) if self.held_out else {}
        row |= watched
        self.record.history.append(row)
        on_the_first(self.training.fabric, lambda: self._log(row))
        unweighted = math.isclose(row["objective"], row["elbo"], rel_tol=1e-4)
        hidden = {"step", "seconds", *watched} | ({"objective"} if unweighted else set())
        shown = {name: value for name, value in row.items() if name not in hidden}
        bar.show(self._steps_done(), rate, shown)
        if self._racing() and self.training.step >= self._early:
            self._end_candidate(row)

    def _log(self, row: dict[str, float]) -> None:
        if self._csv is not None:
            self._csv.append(row)
        for logger in self.loggers:
            logger.log_metrics(row, self._steps_done())

    def _require_finite(self, score: float) -> None:
        if not math.isfinite(score):
            raise TrainingError(
                f"The ELBO of the held-out data is {score} after step {self.training.step}, though "
                "that of the training data is finite. Look for held-out data of another kind."
            )

    def _compare(self, score: float) -> None:
        self.record.waited += 1
        if score > self.record.best:
            self.record.best, self.record.waited = score, 0
            if self.options.keep == "best":
                self._best = self.training.weights()

    def _finished(self) -> bool:
        patience = self.options.patience
        if patience is not None and self.record.waited >= patience and not self._racing():
            return True
        return self.training.step >= self.training.steps

    def _racing(self) -> bool:
        """Tell whether some candidate of the restarts has not had its turn."""
        return self._early > 0 and len(self.record.scores) < self.options.restarts

    def _steps_done(self) -> int:
        """Return the number of steps taken by all candidates together."""
        others = len(self.record.scores) - (len(self.record.scores) == self.options.restarts)
        return others * self._early + self.training.step

    def _end_candidate(self, row: Mapping[str, float]) -> None:
        """Keep the better of this candidate and its rival; begin the next, or go on with it."""
        record = self.record
        score = row.get("validation elbo", row["elbo"])
        leads = not record.scores or score > max(record.scores)
        record.scores.append(score)
        tensors, numbers = self._state(whole=False)
        if leads:
            self._rival = tensors
            record.rival = {"numbers": numbers, "record": asdict(record) | {"rival": {}}}
        if len(record.scores) < self.options.restarts:
            self.training.begin_afresh(self.options.seed + len(record.scores))
            self._best = {}
            self.record = Record(seconds=record.seconds, scores=record.scores, rival=record.rival)
            return
        rival, scores = record.rival, record.scores
        self._put(self._rival, rival["numbers"], rival["record"])
        self.record.scores, self._rival = scores, {}

    def _state(self, *, whole: bool = True) -> tuple[dict[str, Tensor], dict[str, int]]:
        tensors, numbers = self.training.state()
        tensors |= {_BEST + name: tensor for name, tensor in self._best.items()}
        if whole:
            tensors |= {_RIVAL + name: tensor for name, tensor in self._rival.items()}
        return tensors, numbers

    def _put(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, int], record: Mapping[str, Any]
    ) -> None:
        self.training.restore(tensors, numbers)
        self._best = _under(tensors, _BEST)
        self._rival = _under(tensors, _RIVAL)
        self.record = Record(**record)

    def _save(self) -> None:
        if self.folder is None:
            return
        folder = self.folder
        tensors, numbers = self._state()
        self.record.seconds = self._seconds_before + time.monotonic() - self._started
        kept = {"numbers": numbers, "record": asdict(self.record)}
        on_the_first(self.training.fabric, lambda: save_checkpoint(folder, tensors, kept))
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Go on from the checkpoint in the folder.

        Raises:
            RunError: There is none, or it is damaged or not of this model.
        """
        if self.folder is None:
            return
        tensors, kept = load_checkpoint(self.folder)
        try:
            self._put(tensors, kept["numbers"], kept["record"])
        except (RuntimeError, KeyError, TypeError) as error:
            raise RunError(
                f"The checkpoint in {self.folder} is not of this model, or of another version: "
                f"{error}"
            ) from error

    def _fail(self, moment: Moment) -> None:
        failure = self.training.explain(moment)
        if self.folder is not None and self.leads:
            self._save_failure(moment, failure)
        raise failure.error

    def _save_failure(self, moment: Moment, failure: Failure) -> None:
        """Leave what reproduces a failed step in the folder `failure` of the run."""
        training, options = self.training, self.options
        save_failure(
            cast(Path, self.folder) / FAILURE,
            training.weights(),
            training.batch(failure.rows, moment),
            failure.noise,
            {
                "message": str(failure.error),
                "step": moment.step + 1,
                "progress": moment.step / training.steps,
                "indices": failure.rows.tolist(),
                "size": len(training.data),
                "particles": options.particles,
            },
        )

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[StopRequest]:
        if self.folder is None:
            yield StopRequest()
            return
        with stop_requests() as request:
            yield request

    def _bar(self, progress: bool) -> TrainingProgress:
        total = self._early * (self.options.restarts - 1) + self.training.steps
        starts = self.options.restarts
        return TrainingProgress(total, starts=starts, enabled=progress and self.leads)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

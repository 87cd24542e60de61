"""Training: stochastic variational inference for any model and guide that keep the contract."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pyro
import torch
from torch import Tensor, nn

from ..guides.registry import entry_of
from ..zoo.config import AbstractConfig
from ..zoo.errors import DataError, TrainingError, TransportDiverged
from ..zoo.schedules import Schedule, Windows
from .elbo import Elbo, ElboTerms
from .progress import TrainingProgress
from .run import Run

__all__ = ["FitOptions", "fit"]

# Splits up to this size are rendered once and kept, which makes a step of a small model twice as
# fast; larger ones are rendered batch by batch.
_KEEP_BYTES = 2**30
_CHUNK = 1024


class Split(Protocol):
    """Observations that can be asked for in batches."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> dict[str, Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class FitOptions(AbstractConfig):
    """How to train.

    Attributes:
        max_steps: Number of optimizer steps.
        batch_size: Number of data in a step.
        learning_rate: Peak of Adam's learning rate: it warms up over the first 100 steps (at most
            a tenth of all) and falls as a cosine over the second half.
        gradient_norm: Gradients longer than this are shortened to it.
        seed: Of batches and of the guide's draws.
        log_every: Number of steps between two rows of the history.
        restarts: Number of initial parameters to try. Each trains for the first fifth of the steps;
            the one with the highest held-out ELBO goes on. What was found is optimisation's, not
            the data's, where restarts differ much: their scores are kept in the run's settings.
    """

    max_steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 2e-3
    gradient_norm: float = 100.0
    seed: int = 0
    log_every: int = 50
    restarts: int = 1

    def check(self) -> None:
        """Refuse counts below one and rates that are not positive."""
        for name in ("max_steps", "batch_size", "log_every", "restarts"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("learning_rate", "gradient_norm"):
            self.require(getattr(self, name) > 0, name, "positive")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate after `step` steps."""
        warm = min(1.0, (step + 1) / min(100, 1 + self.max_steps // 10))
        late = max(0.0, 2 * step / self.max_steps - 1)
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * late)))


def fit(
    model: nn.Module,
    guide: nn.Module,
    data: Any,  # noqa: ANN401 - a data set with splits, one split, or a mapping of tensors
    *,
    options: FitOptions | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    **overrides: Any,  # noqa: ANN401 - fields of FitOptions
) -> Run:
    """Train a guide and a model together by maximising the ELBO.

    If the model declares `windows`, early training looks at random stretches of each sequence.
    Schedules that model and guide declare (`schedules`, buffers by name) and those of the model's
    `kl_schedule`, a weight for the KL of each site, are driven over the course of training.

    Args:
        model: A Pyro model that keeps the contract.
        guide: Its guide; both are trained in place.
        data: What to learn from: a data set with `train` and `validation`, a split, or tensors by
            name with a common first axis.
        options: How to train.
        out: Folder to save the run in, in place of one that it may hold; None keeps it in memory.
        progress: Whether to show a progress bar.
        **overrides: Single fields of `FitOptions`, such as `max_steps=1000`.

    Returns:
        The run: trained model and guide, and the history of every term of the ELBO.

    Raises:
        ConfigError: An option is unknown or out of range.
        DataError: The data are empty, hold values that are not finite, or are not what the model
            takes (its `check_data`).
        TrainingError: The loss stopped being finite.
        TransportDiverged: Points ran off; the message names the step.
    """
    options = FitOptions.from_dict(asdict(options or FitOptions()) | overrides)
    train = as_split(getattr(data, "train", data))
    validation = getattr(data, "validation", None)
    validation = as_split(validation) if validation is not None and len(validation) else None
    for split in (train, validation):
        _check(model, split)
    if out is not None:
        entry_of(model, guide)
        Path(out).mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(options.seed)
        with pyro.settings.context(module_local_params=True):
            _rehearse(Elbo(model, guide), train)
            history, scores = _race(model, guide, train, validation, options, progress=progress)
    run = Run(model, guide, history, {"fit": options.to_dict(), "restart scores": scores})
    if out is not None:
        run.save(out)
    return run


def _rehearse(elbo: Elbo, split: Split) -> None:
    """Run the objective once on whole data: what cannot work is said before training starts."""
    batch = split.batch(torch.arange(min(2, len(split))))
    device = next(elbo.parameters()).device
    with torch.no_grad(), torch.random.fork_rng():
        elbo({name: tensor.to(device) for name, tensor in batch.items()}, size=len(split))


def _check(model: nn.Module, split: Split | None) -> None:
    """Let the model refuse the data: all that are in memory, else the first ones."""
    check: Callable[[dict[str, Tensor]], None] | None = getattr(model, "check_data", None)
    if split is None or check is None:
        return
    chunks = torch.arange(len(split)).split(_CHUNK)
    for indices in chunks if isinstance(split, _Tensors) else chunks[:1]:
        check(split.batch(indices))


def as_split(data: Any) -> Split:  # noqa: ANN401 - see `fit`
    """Return the data in a form that gives batches, kept in memory where that is small.

    Raises:
        DataError: The data are empty or hold values that are not finite.
    """
    if not isinstance(data, Mapping) and not hasattr(data, "batch"):
        raise DataError(
            f"Found data of type {type(data).__name__}; expected a data set, a split with "
            "`batch(indices)`, or a mapping of named tensors such as {'images': tensor}."
        )
    split = _Tensors(data) if isinstance(data, Mapping) else data
    if len(split) == 0:
        raise DataError("The data set is empty: there is nothing to learn from.")
    first = split.batch(torch.arange(1))
    size = len(split) * sum(x.numel() * x.element_size() for x in first.values())
    if size <= _KEEP_BYTES and not isinstance(split, _Tensors):
        chunks = [split.batch(index) for index in torch.arange(len(split)).split(_CHUNK)]
        split = _Tensors({name: torch.cat([c[name] for c in chunks]) for name in first})
    return split


class _Tensors:
    """Named tensors with a common first axis, as a split."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f"Tensors of one data set must have one length, found {lengths}.")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise DataError(f"{name!r} holds NaN or infinity. Clean the data before training.")
        self.tensors = dict(tensors)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """Return the rows asked for."""
        return {name: tensor[indices] for name, tensor in self.tensors.items()}


class _Trainer:
    """One pass over the optimizer's steps."""

    def __init__(
        self, model: nn.Module, guide: nn.Module, data: Split, options: FitOptions
    ) -> None:
        self.elbo, self.data, self.options = Elbo(model, guide), data, options
        self.parameters = [p for p in self.elbo.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=options.learning_rate, fused=True)
        self.dims: Mapping[str, tuple[str, ...]] = getattr(model, "dims", {})
        self.windows: Windows | None = getattr(model, "windows", None)
        self.kl_schedule: Mapping[str, Schedule] = getattr(model, "kl_schedule", {})
        self.scheduled = [
            (module.get_buffer(name), schedule)
            for module in (model, guide)
            for name, schedule in getattr(module, "schedules", {}).items()
        ]

    def _batches(self) -> Iterator[Tensor]:
        """Yield shuffled indices for ever; every epoch sees each datum once."""
        while True:
            yield from torch.randperm(len(self.data)).split(self.options.batch_size)

    def steps(self) -> Iterator[tuple[int, ElboTerms]]:
        """Take the optimizer's steps, yielding the terms of the ELBO after each."""
        self.elbo.train()
        for step, indices in zip(range(self.options.max_steps), self._batches(), strict=False):
            fraction = step / self.options.max_steps
            try:
                terms = self._loss(self.data.batch(indices), fraction)
            except TransportDiverged as error:
                where = f"Step {step + 1}, batch indices {indices[:8].tolist()}…: "
                raise TransportDiverged(where + str(error)) from error
            if not bool(torch.isfinite(terms.objective)):
                self._explain(step, indices, terms)
            self.optimizer.zero_grad()
            terms.objective.backward()
            nn.utils.clip_grad_norm_(self.parameters, self.options.gradient_norm)
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.learning_rate_at(step)
            self.optimizer.step()
            yield step + 1, terms

    def _loss(self, batch: dict[str, Tensor], fraction: float) -> ElboTerms:
        for buffer, schedule in self.scheduled:
            buffer.fill_(schedule.at(fraction))
        if self.windows is not None and fraction < self.windows.until:
            batch = self._windows(batch, self.windows)
        weight = {site: schedule.at(fraction) for site, schedule in self.kl_schedule.items()}
        device = self.parameters[0].device
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        terms: ElboTerms = self.elbo(batch, size=len(self.data), kl_weight=weight)
        return terms

    def _windows(self, batch: dict[str, Tensor], windows: Windows) -> dict[str, Tensor]:
        """Cut one random window, the same for all tensors that have the axis."""
        axes = {
            name: self.dims[name].index(windows.axis)
            for name in batch
            if windows.axis in self.dims.get(name, ())
        }
        lengths = {batch[name].shape[axis] for name, axis in axes.items()}
        if len(lengths) != 1 or (spare := lengths.pop() - windows.length) <= 0:
            return batch
        start = int(torch.randint(spare + 1, ()))
        cut = {name: batch[name].narrow(axis, start, windows.length) for name, axis in axes.items()}
        return batch | cut

    def _explain(self, step: int, indices: Tensor, terms: ElboTerms) -> None:
        bad = [name for name, term in terms.itemised().items() if not math.isfinite(term)]
        raise TrainingError(
            f"The loss is not finite at step {step + 1} (batch indices {indices[:8].tolist()}…): "
            f"{', '.join(bad)}. Lower the learning rate or the gradient norm, or check the data."
        )


def _race(
    model: nn.Module,
    guide: nn.Module,
    train: Split,
    validation: Split | None,
    options: FitOptions,
    *,
    progress: bool,
) -> tuple[list[dict[str, float]], list[float]]:
    """Train every candidate for a while and the best to the end; return its history, and scores."""
    pairs = [(model, guide), *(_afresh(model, guide) for _ in range(options.restarts - 1))]
    early = options.max_steps // 5 if len(pairs) > 1 else options.max_steps
    total = early * len(pairs) + options.max_steps - early
    with TrainingProgress(total, enabled=progress) as bar:
        runs = [_recorded(_Trainer(*pair, train, options), validation, bar) for pair in pairs]
        histories = [list(_up_to(early, rows)) for rows in runs]
        scores = [history[-1].get("validation elbo", history[-1]["elbo"]) for history in histories]
        best = scores.index(max(scores))
        histories[best].extend(runs[best])
    for given, winner in zip((model, guide), pairs[best], strict=True):
        given.load_state_dict(winner.state_dict())
        given.eval()
    return histories[best], scores


def _up_to(step: int, rows: Iterator[dict[str, float]]) -> Iterator[dict[str, float]]:
    """Yield rows up to the first that reaches a step, and leave the others."""
    for row in rows:
        yield row
        if row["step"] >= step:
            return


def _afresh(model: Any, guide: Any) -> tuple[nn.Module, nn.Module]:  # noqa: ANN401 - see contract
    """Build the same pair again from its configurations, with other initial parameters."""
    again = type(model)(model.config).to(next(model.parameters()))
    return again, type(guide)(again, guide.config).to(next(guide.parameters()))


def _recorded(
    trainer: _Trainer, validation: Split | None, bar: TrainingProgress
) -> Iterator[dict[str, float]]:
    """Yield a row of history every few steps: means of each term since the last row."""
    options, started = trainer.options, time.monotonic()
    score = _validator(trainer.elbo, validation)
    rows: list[dict[str, float]] = []
    for step, terms in trainer.steps():
        rows.append(terms.itemised())
        if step % options.log_every and step != options.max_steps:
            continue
        row = {name: sum(r[name] for r in rows) / len(rows) for name in rows[0]}
        bar.advance(len(rows), row)
        rows = []
        yield {"step": step, "seconds": time.monotonic() - started, **row, **score()}


def _validator(elbo: Elbo, split: Split | None) -> Callable[[], dict[str, float]]:
    """Return a function that scores up to 256 held-out data, without disturbing training."""
    if split is None:
        return dict
    batch = split.batch(torch.arange(min(256, len(split))))

    def score() -> dict[str, float]:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            terms = elbo(batch, size=len(next(iter(batch.values()))))
        return {"validation elbo": float(terms.elbo.detach())}

    return score

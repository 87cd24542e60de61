"""The optimizer's steps: what one step does, and everything that is needed to go on exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..zoo.checks import deferred_checks
from ..zoo.errors import ConfigError, MutoscopeError, TrainingError
from ..zoo.schedules import Windows
from .batches import Shuffle, Split, like
from .gradients import Gradients
from .limits import batch_statistics, rehearse, require_several_data
from .noise import Noise, undisturbed
from .objective import AbstractObjective, Objective, PyroObjective
from .options import FitOptions
from .processes import first_found, over_processes
from .sentinel import explain_failure

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Failure", "Moment", "Training"]

_VALIDATED = 256
_COLUMNS = ("step", "seconds", "validation elbo")


@dataclass(frozen=True, eq=False)
class Moment:
    """What one step looked at: enough to take it again.

    Attributes:
        step: Number of steps taken before.
        indices: Data of the batch.
        window: Where the window of each sequence starts; None for whole sequences.
        noise: State of the random generators, by part of the batch.
    """

    step: int
    indices: Tensor
    window: int | None
    noise: dict[int, Tensor]


class Failure(NamedTuple):
    """Why a step failed: what is raised, for which data, and the noise that they drew."""

    error: MutoscopeError
    rows: Tensor
    noise: Tensor


class Training:
    """A model and a guide under an optimizer.

    Nothing is read back from the device between two calls of `means`, unless that is the CPU, where
    it costs nothing. A step whose loss or gradient is not finite changes nothing, nor do those
    after it: parameters keep the last finite state, and `failure` returns the moment.

    Args:
        fabric: Where to train, launched.
        model: A Pyro model.
        guide: Its guide.
        data: Training data.
        options: How to train.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        guide: nn.Module,
        data: Split,
        options: FitOptions,
    ) -> None:
        self.fabric, self.data, self.options = fabric, data, options
        self.model, self.guide = model, guide
        self.steps = options.steps(len(data))
        self.objective = _objective(model, guide, len(data), options)
        self.parameters = [p for p in self.objective.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self._gradients = Gradients(
            fabric,
            self.objective,
            self.optimizer,
            batch_size=min(options.batch_size, len(data)),
            accumulate=options.accumulate,
            compile=options.compile,
        )
        self.windows: Windows | None = getattr(model, "windows", None)
        self._statistics = batch_statistics(self.objective)
        if self._statistics:
            require_several_data(options.batch_size, len(data), self._gradients.parts)
        first = like(data.batch(torch.arange(min(2, len(data)))), self.parameters[0])
        rehearse(fabric, self.objective, first, options)
        self.begin(options.seed)

    def begin(self, seed: int) -> None:
        """Start anew from the parameters as they are."""
        self.step, self._seen = 0, 0
        self.objective.train()
        self.optimizer.state.clear()
        self.shuffle = Shuffle(len(self.data), self.options.batch_size, seed=seed)
        self._window_generator = torch.Generator().manual_seed(seed)
        self.noise = Noise(seed, self._gradients.own, self.fabric.device)
        self._totals: Tensor | None = None
        self._failed = torch.zeros((), device=self.fabric.device)
        self._recent: list[Moment] = []

    def begin_afresh(self, seed: int) -> None:
        """Start anew from other initial parameters of the same configurations."""
        model, guide = cast(Any, self.model), cast(Any, self.guide)
        with undisturbed(seed):
            again = type(model)(model.config)
            other = type(guide)(again, guide.config)
        model.load_state_dict(again.state_dict())
        guide.load_state_dict(other.state_dict())
        self.begin(seed)

    def advance(self) -> None:
        """Take one step."""
        moment = Moment(self.step, self.shuffle.next(), self._window(), self.noise.states())
        self._recent.append(moment)
        self.objective.drive(self.step / self.steps)
        rate = self.options.learning_rate_at(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        before = [statistic.clone() for statistic in self._statistics]
        with deferred_checks():
            loss = self._add_gradients(moment)
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        failed = (~torch.isfinite(loss + norm)).to(self._failed)
        failed = over_processes(self.fabric, failed, "sum").clamp(max=1.0)
        self._failed = torch.maximum(self._failed, failed)
        for statistic, last in zip(self._statistics, before, strict=True):
            statistic.copy_(torch.where(self._failed > 0, last, statistic))
        fused = cast(Any, self.optimizer)
        # Both in single precision, whatever the parameters: where the first is 1, a step does
        # nothing; by the second it divides the gradient.
        fused.found_inf = self._failed
        fused.grad_scale = (norm / self.options.gradient_norm).clamp(min=1.0).float()
        self._gradients.optimizer.step()
        self.step += 1

    def _add_gradients(self, moment: Moment) -> Tensor:
        """Leave the gradient of a batch in the parameters, and return this process's loss."""
        own = self._gradients.own
        loss = torch.zeros((), device=self.fabric.device)
        for part, rows in zip(own, self._gradients.rows(moment.indices), strict=True):
            self.noise.switch(part)
            batch = self.batch(rows if len(rows) else moment.indices[:1], moment)
            share = len(rows) / len(moment.indices)
            partial, terms = self._gradients.add(batch, share, last=part == own[-1])
            self._totals = len(rows) * terms + (0 if self._totals is None else self._totals)
            self._seen += len(rows)
            loss = loss + partial
        return loss

    def batch(self, rows: Tensor, moment: Moment) -> dict[str, Tensor]:
        """Return the data that a step looks at, on the device."""
        batch = like(self.data.batch(rows), self.parameters[0])
        if moment.window is None or self.windows is None:
            return batch
        dims: Mapping[str, tuple[str, ...]] = getattr(self.model, "dims", {})
        for name, tensor in batch.items():
            if self.windows.axis in dims.get(name, ()):
                axis = dims[name].index(self.windows.axis)
                length = min(self.windows.length, tensor.shape[axis])
                start = moment.window % (tensor.shape[axis] - length + 1)
                batch[name] = tensor.narrow(axis, start, length)
        return batch

    def _window(self) -> int | None:
        """Draw where windows start: a large number, of which the remainder counts."""
        if self.windows is None or self.step >= self.windows.until * self.steps:
            return None
        return int(torch.randint(2**31, (), generator=self._window_generator))

    def failure(self) -> Moment | None:
        """Return the first moment whose loss or gradient was not finite, if there was one."""
        failed = bool(self._failed)
        if not failed:
            self._recent.clear()
            return None
        counts = [int(state["step"]) for state in self.optimizer.state.values()]
        taken = max(counts, default=0)
        return next(moment for moment in self._recent if moment.step == taken)

    def explain(self, moment: Moment) -> Failure:
        """Return what was not finite first, in whichever process, and what shows it again.

        The noise of that moment is in force again afterwards.
        """
        self.noise.restore(moment.noise)
        self.objective.drive(moment.step / self.steps)
        found, statistics = None, [statistic.clone() for statistic in self._statistics]
        own = self._gradients.own
        for part, rows in zip(own, self._gradients.rows(moment.indices), strict=True):
            if not len(rows):
                continue
            self.noise.switch(part)
            noise = self.noise.current()
            self.optimizer.zero_grad()
            with self.fabric.autocast():
                reason = explain_failure(self.objective, self.batch(rows, moment))
            if reason is not None:
                found = (reason, rows, noise)
                break
        self.noise.restore(moment.noise)
        for statistic, kept in zip(self._statistics, statistics, strict=True):
            statistic.copy_(kept)
        nothing = ("the loss is finite, but not the length of its gradient", moment.indices, noise)
        reason, rows, noise = first_found(self.fabric, found) or nothing
        where = f"Step {moment.step + 1}, batch indices {rows[:8].tolist()}…"
        if isinstance(reason, MutoscopeError):
            return Failure(type(reason)(f"{where}: {reason}"), rows, noise)
        advice = "Lower the learning rate or the gradient norm, or check the data."
        return Failure(TrainingError(f"{where}: {reason}. {advice}"), rows, noise)

    def means(self) -> tuple[dict[str, float], int]:
        """Return the mean of each term since the last call, and the number of data in it.

        Over all processes; reads the device.
        """
        totals, seen = self._totals, self._seen
        self._totals, self._seen = None, 0
        if totals is None:
            return {}, 0
        if self.fabric.world_size > 1:
            both = torch.cat([totals, totals.new_tensor([float(seen)])])
            both = over_processes(self.fabric, both, "sum")
            totals, seen = both[:-1], int(both[-1])
        return dict(zip(self.objective.names, (totals / seen).tolist(), strict=True)), seen

    def score(self, batch: Mapping[str, Tensor]) -> float:
        """Return the ELBO of held-out data in nats per datum, without disturbing training."""
        self.objective.eval()
        with torch.no_grad(), undisturbed(0), self.fabric.autocast():
            value = float(self.objective.score(batch))
        self.objective.train()
        return float(self.fabric.broadcast(value))

    def watched(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """Return what the guide's `watched` finds, if it has such, without disturbing training.

        Raises:
            ConfigError: It fails, or returns something else than numbers by names of their own.
        """
        watch: Any = getattr(self.guide, "watched", None)
        if watch is None:
            return {}
        self.objective.eval()
        try:
            with torch.no_grad(), undisturbed(0), self.fabric.autocast():
                found = {str(name): float(value) for name, value in dict(watch(batch)).items()}
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{type(self.guide).__name__}.watched fails on held-out data: {error}. It takes a "
                "batch, as `forward` does, and returns numbers by name."
            ) from error
        self.objective.train()
        if taken := sorted(found.keys() & {*_COLUMNS, *self.objective.names}):
            raise ConfigError(
                f"{type(self.guide).__name__}.watched returns {taken}, which are columns of the "
                "history already. Choose other names."
            )
        return dict(self.fabric.broadcast(found))

    def held_out(self, split: Split) -> dict[str, Tensor]:
        """Return the data that `score` looks at: the first of a split, on the device."""
        return like(split.batch(torch.arange(min(_VALIDATED, len(split)))), self.parameters[0])

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the state of model and guide, by name."""
        return {
            f"{part}.{name}": tensor.detach().clone()
            for part, module in (("model", self.model), ("guide", self.guide))
            for name, tensor in module.state_dict().items()
        }

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put a state of model and guide in place."""
        for part, module in (("model", self.model), ("guide", self.guide)):
            prefix = f"{part}."
            module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            )

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return all that is needed to go on exactly: tensors, and numbers."""
        order, position = self.shuffle.state()
        tensors = self.weights() | {"shuffle": order, "windows": self._window_generator.get_state()}
        for index, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{index}.{name}"] = value.detach().clone()
        for part, noise in self._all_noise().items():
            tensors[f"noise.{part}"] = noise
        if self._totals is not None:
            tensors["totals"] = self._totals.clone()
        return tensors, {"step": self.step, "position": position, "seen": self._seen}

    def _all_noise(self) -> dict[int, Tensor]:
        own = self.noise.states()
        if self.fabric.world_size == 1:
            return own
        states = torch.stack([own[part] for part in self._gradients.own]).to(self.fabric.device)
        gathered: Any = self.fabric.all_gather(states)
        return dict(enumerate(gathered.flatten(0, 1).cpu()))

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, int]) -> None:
        """Go on from a state."""
        self.load_weights(tensors)
        self.step, self._seen = numbers["step"], numbers["seen"]
        self.shuffle.restore(tensors["shuffle"], numbers["position"])
        self._window_generator.set_state(tensors["windows"])
        self.noise.restore(
            {part: tensors[f"noise.{part}"] for part in range(self._gradients.parts)}
        )
        self._totals = tensors["totals"].to(self.fabric.device) if "totals" in tensors else None
        self._failed, self._recent = torch.zeros_like(self._failed), []
        self.optimizer.state.clear()
        for index, parameter in enumerate(self.parameters):
            prefix = f"optimizer.{index}."
            saved = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if saved:
                self.optimizer.state[parameter] = {
                    name: _laid_out_like(parameter, value) for name, value in saved.items()
                }


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a copy in the order of memory that an optimizer of fused steps takes for granted."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _objective(
    model: nn.Module, guide: nn.Module, size: int, options: FitOptions
) -> AbstractObjective:
    particles, beta, free_bits = options.particles, options.beta, options.free_bits
    if options.estimator == "lean":
        return Objective(
            model, guide, size=size, particles=particles, beta=beta, free_bits=free_bits
        )
    if (beta, free_bits) != (1.0, 0.0):
        raise ConfigError(
            f"beta={beta} and free_bits={free_bits} weigh the terms of our own ELBO, but Pyro's "
            f"{options.estimator} has one term. Use estimator='lean'."
        )
    return PyroObjective(options.estimator, model, guide, size=size, particles=particles)

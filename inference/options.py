"""How to train: every option of `fit`, with its meaning and its default."""

import math
from dataclasses import dataclass
from typing import Literal

from ..zoo.config import AbstractConfig
from .objective import Estimator

__all__ = ["FitOptions"]

_AT_LEAST_ONE = (
    "max_steps",
    "batch_size",
    "log_every",
    "restarts",
    "particles",
    "accumulate",
    "devices",
    "num_nodes",
)


@dataclass(frozen=True, kw_only=True)
class FitOptions(AbstractConfig):
    """How to train.

    Attributes:
        max_steps: Number of optimizer steps.
        max_epochs: Number of passes over the training data, in place of `max_steps`.
        batch_size: Number of data in a step, over all devices.
        learning_rate: Peak of Adam's learning rate.
        warmup_steps: Number of steps over which it rises linearly (at most a tenth of all).
        decay: "cosine" lets it fall over the second half of training, to a fiftieth.
        weight_decay: Decoupled weight decay (AdamW, Loshchilov and Hutter 2019).
        gradient_norm: Gradients longer than this are shortened to it.
        estimator: "lean" is our own ELBO, itemised by site. Pyro's "Trace_ELBO",
            "TraceMeanField_ELBO" and "TraceEnum_ELBO" also take draws that are not
            reparameterised, and enumerated sites.
        particles: Number of draws of the guide that each datum's ELBO is averaged over.
        beta: Factor on every KL in the objective; the ELBO that is reported has none.
        free_bits: Nats that each KL, averaged over a part of a batch, costs the objective at least
            (Kingma et al. 2016).
        seed: Of batches and of the guide's draws.
        log_every: Number of steps between two rows of the history.
        patience: Stop when the held-out ELBO has not risen for so many rows; None goes on.
        keep: Weights of the "last" step, or of the row with the "best" held-out ELBO.
        restarts: Number of initial parameters to try. Each trains for the first fifth of the steps;
            the one with the highest held-out ELBO goes on. What was found is optimisation's, not
            the data's, where restarts differ much: their scores are kept in the run's settings.
        compile: Whether to capture the loss and its gradients as one compiled graph. Training
            starts later and runs faster; small models gain most.
        precision: "bf16-mixed" runs matrix products in half the bits, where the device can.
        data_device: "auto" keeps data that fit on the device, "device" keeps any, "stream" renders
            each batch anew.
        accumulate: Number of parts in which a device takes its share of a batch, one after the
            other: for batches that do not fit. Two devices and one part give the same numbers as
            one device and two parts.
        accelerator: Where to train: "cpu", "cuda", "mps" or "auto". Resuming is exact on the first
            two.
        devices: Number of devices (processes) of each node.
        num_nodes: Number of machines.
        strategy: How several devices work together. "auto" is "ddp" where there are several;
            "ddp_find_unused_parameters_true" also takes parameters that the loss does not use.
        checkpoint_seconds: Save the state of training this often, at the next row of the history.
        loggers: Further logs beside `history.csv`: "tensorboard", "wandb" (optional extras).
    """

    max_steps: int = 4000
    max_epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    decay: Literal["cosine", "none"] = "cosine"
    weight_decay: float = 0.0
    gradient_norm: float = 100.0
    estimator: Estimator = "lean"
    particles: int = 1
    beta: float = 1.0
    free_bits: float = 0.0
    seed: int = 0
    log_every: int = 50
    patience: int | None = None
    keep: Literal["last", "best"] = "last"
    restarts: int = 1
    compile: bool = False
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    data_device: Literal["auto", "device", "stream"] = "auto"
    accumulate: int = 1
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    checkpoint_seconds: float = 60.0
    loggers: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse counts below one and rates that are not positive."""
        for name in _AT_LEAST_ONE:
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("max_epochs", "patience"):
            value = getattr(self, name)
            self.require(value is None or value >= 1, name, "at least 1, or None")
        for name in ("learning_rate", "gradient_norm"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("beta", "free_bits", "weight_decay", "checkpoint_seconds", "warmup_steps"):
            self.require(getattr(self, name) >= 0, name, "zero or positive")
        self.require(0 <= self.seed < 2**63, "seed", "between 0 and 2^63")
        self.require(self.accumulate <= self.batch_size, "accumulate", "at most batch_size")

    def steps(self, count: int) -> int:
        """Return the number of steps of training on `count` data."""
        if self.max_epochs is None:
            return self.max_steps
        return self.max_epochs * math.ceil(count / self.batch_size)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate after `step` of `steps` steps."""
        warm = min(1.0, (step + 1) / max(1, min(self.warmup_steps, 1 + steps // 10)))
        if self.decay == "none":
            return self.learning_rate * warm
        late = max(0.0, 2 * step / steps - 1)
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * late)))

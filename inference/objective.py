"""What training minimises: an ELBO with its weights, schedules and particles, as one module."""

import abc
from collections.abc import Mapping
from typing import Any, Literal

import pyro.infer
import torch
from jaxtyping import Float
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from ..zoo.penalty import is_penalty
from ..zoo.schedules import Schedule
from .elbo import Elbo

__all__ = ["AbstractObjective", "Estimator", "Objective", "PyroObjective"]

Estimator = Literal["lean", "Trace_ELBO", "TraceMeanField_ELBO", "TraceEnum_ELBO"]


class AbstractObjective(nn.Module, abc.ABC):
    """The loss of a batch, and its terms.

    Everything that moves during training is a buffer, set by `drive`, so that the loss can be
    captured as one graph.

    Args:
        elbo: A module that holds a `model` and a `guide`.
        size: Number of data of the whole set.

    Attributes:
        names: Names of the terms, in the order of `forward`; known after the first call.
    """

    def __init__(self, elbo: nn.Module, size: int) -> None:
        super().__init__()
        self.elbo: Any = elbo
        self.size = size
        self.names: tuple[str, ...] = ()

    def drive(self, fraction: float) -> None:
        """Set what is scheduled to its value when `fraction` of training is done."""
        for part in (self.elbo.model, self.elbo.guide):
            declared: Any = getattr(part, "schedules", {})
            for name, schedule in declared.items():
                part.get_buffer(name).fill_(schedule.at(fraction))

    @abc.abstractmethod
    def forward(
        self, batch: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " term"]]:
        """Return the loss, and the terms called `names`, in nats per datum."""

    @abc.abstractmethod
    def score(self, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Return the true ELBO of data that are a whole set, in nats per datum."""


class Objective(AbstractObjective):
    """Our own ELBO, itemised, with every KL weighted.

    Args:
        model: A Pyro model; its `kl_schedule` weighs the KL of single sites over time.
        guide: Its guide.
        size: Number of data of the whole set.
        particles: Number of draws to average over.
        beta: Factor on every KL, see `Elbo.forward`.
        free_bits: Nats that each KL costs at least, see `Elbo.forward`.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        *,
        size: int,
        particles: int = 1,
        beta: float = 1.0,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__(Elbo(model, guide, particles=particles), size)
        self.beta, self.free_bits = beta, free_bits
        self.kl_schedule: dict[str, Schedule] = dict(getattr(model, "kl_schedule", {}))
        like = next(self.elbo.parameters()).detach()
        self.register_buffer("kl_weights", like.new_ones(len(self.kl_schedule)))

    kl_weights: Tensor

    def drive(self, fraction: float) -> None:
        """Set what is scheduled, weights too, to its value when `fraction` of training is done."""
        super().drive(fraction)
        for weight, schedule in zip(self.kl_weights, self.kl_schedule.values(), strict=True):
            weight.fill_(schedule.at(fraction))

    def forward(
        self, batch: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " term"]]:
        """Return the loss, and the terms called `names`, in nats per datum."""
        terms = self.elbo(
            batch,
            size=self.size,
            kl_weight=dict(zip(self.kl_schedule, self.kl_weights, strict=True)),
            beta=self.beta,
            free_bits=self.free_bits,
        )
        named = terms.named() | {"objective": -terms.objective}
        self.names = tuple(named)
        return terms.objective, torch.stack([term.detach() for term in named.values()])

    def score(self, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Return the true ELBO of data that are a whole set, in nats per datum."""
        score: Tensor = self.elbo(batch, size=len(next(iter(batch.values())))).elbo
        return score


class PyroObjective(AbstractObjective):
    """One of Pyro's own ELBOs: for guides without reparameterised draws, or with enumerated sites.

    Its terms are not itemised, but for what the model charges by `penalise`, and it reads numbers
    back from the device at every step.

    Args:
        estimator: Its name in `pyro.infer`.
        model: A Pyro model.
        guide: Its guide.
        size: Number of data of the whole set.
        particles: Number of draws to average over.

    Raises:
        ConfigError: The model declares weights or `penalties`, which Pyro's ELBOs know nothing of.
    """

    def __init__(
        self,
        estimator: Estimator,
        model: nn.Module,
        guide: nn.Module,
        *,
        size: int,
        particles: int = 1,
    ) -> None:
        declared = [name for name in ("kl_schedule", "penalties") if hasattr(model, name)]
        if declared:
            raise ConfigError(
                f"{type(model).__name__} declares {' and '.join(declared)}, of which Pyro's "
                f"{estimator} knows nothing. Use estimator='lean', or write penalties into the "
                "model as sites, by mutoscope.zoo.penalty.penalise."
            )
        kind = getattr(pyro.infer, estimator)
        super().__init__(kind(num_particles=particles)(model, guide), size)
        self.particles = particles

    def forward(
        self, batch: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " term"]]:
        """Return the loss, and the terms called `names`, in nats per datum."""
        with _Charged() as charged:
            loss = self.elbo(**batch, size=self.size) / self.size
        paid = {name: x / (self.size * self.particles) for name, x in charged.by_name.items()}
        elbo = sum(paid.values(), -loss.detach())
        named = {"elbo": elbo} | {f"penalty({name})": x for name, x in paid.items()}
        named["objective"] = -loss.detach()
        self.names = tuple(named)
        return loss, torch.stack([*named.values()])

    def score(self, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Return the true ELBO of data that are a whole set, in nats per datum."""
        count = len(next(iter(batch.values())))
        with _Charged() as charged:
            loss = self.elbo.elbo.loss(self.elbo.model, self.elbo.guide, **batch, size=count)
        return (sum(charged.by_name.values()) / self.particles - torch.as_tensor(loss)) / count


class _Charged(Messenger):
    """Adds up, for a whole set, what a model charges by `penalise` while it runs.

    Attributes:
        by_name: The sum of each term, over all particles.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, Tensor] = {}

    def _pyro_post_sample(self, site: Any) -> None:  # noqa: ANN401 - a message of Pyro
        if is_penalty(site):
            term = -(site["fn"].log_prob(site["value"]) * site["scale"]).detach().sum()
            self.by_name[site["name"]] = self.by_name.get(site["name"], 0) + term

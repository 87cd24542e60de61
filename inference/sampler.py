"""A model and its guide, run at many draws of their latents at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyro
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.distributions import Unit
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from .metrics.particles import log_density, unwrapped

__all__ = ["Densities", "Draws", "Sampler"]

_PARTICLES = "particles"


@dataclass(frozen=True, eq=False)
class Draws:
    """Sites of the model at many draws of its latents, as Pyro's traces hold them, by name.

    Attributes:
        latent: Random variables that no data fix.
        deterministic: What the model computes from them.
        observed: Random variables that data fix.
        factors: `pyro.factor` statements: a log-density each, and no variable.
        guide: The latents in the guide; empty if they were drawn from the prior.
    """

    latent: dict[str, Any]
    deterministic: dict[str, Any]
    observed: dict[str, Any]
    factors: dict[str, Any]
    guide: dict[str, Any] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Any]:
        """Every site of the model."""
        return self.latent | self.deterministic | self.observed | self.factors


@dataclass(frozen=True, eq=False)
class Densities:
    """Log-densities of each datum at each draw, in nats; no mini-batch weighs them.

    Latents that all data share are given in all of them, and are in none.

    Attributes:
        log_p: Of the datum's latents, factors and observations under the model.
        log_q: Of its latents under the guide.
        log_likelihood: Of each observed site of the datum.
    """

    log_p: Float[Tensor, "particle datum"]
    log_q: Float[Tensor, "particle datum"]
    log_likelihood: dict[str, Float[Tensor, "particle datum"]]


class Sampler:
    """Runs a model and its guide with a plate of particles outside of all of theirs.

    Which plates they have and which axes follow the data is seen from one and from two rows.

    Args:
        model: A Pyro model.
        guide: Its guide.
        batch: Observed tensors by name; the first row is looked at.

    Attributes:
        shapes: Shape of each variable at a single draw and a single datum.
        row_axis: Which axis of a variable is that of the data; None for one that all data share.
        shared: Latents that all data share.

    Raises:
        ConfigError: The model has a latent that the guide does not draw, or no datum of its own.
    """

    def __init__(self, model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> None:
        self.model, self.guide = model, guide
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            one, two = (_traced(model, guide, _first_rows(batch, rows)) for rows in (1, 2))
        if missing := one["model"].latent.keys() - one["guide"].latent.keys():
            raise ConfigError(
                f"The model samples {', '.join(sorted(missing))}, but the guide does not. "
                "Give the guide a site of that name, or observe it."
            )
        before, after = one["model"].all, two["model"].all
        self._row_plate = {
            name: _growing_plate(site, after.get(name)) for name, site in before.items()
        }
        if all(self._row_plate[name] is None for name in one["model"].observed):
            raise ConfigError(
                f"{type(model).__name__} observes nothing in a plate of the data. Observe the "
                "tensors in `pyro.plate(name, size or count, subsample=torch.arange(count))`."
            )
        variables = before.keys() - one["model"].factors.keys()
        shapes = [
            {n: tuple(each[n]["value"].shape) for n in variables if n in each}
            for each in (before, after)
        ]
        self.shapes = {name: shapes[0][name] for name in before if name in variables}
        self.row_axis = {
            name: _growing(shape, shapes[1].get(name)) for name, shape in self.shapes.items()
        }
        self.shared = frozenset(n for n in one["model"].latent if self.row_axis[n] is None)
        self._depth = 1 + max(_depth(site) for part in one.values() for site in part.all.values())

    def draw(
        self,
        batch: Mapping[str, Tensor],
        particles: int,
        shared: Mapping[str, Tensor] | None = None,
    ) -> Draws:
        """Draw the latents of every datum `particles` times from the guide, and run the model.

        Args:
            batch: Observed tensors by name; first axis the data.
            particles: Number of draws.
            shared: Values of latents that all data share, if they were drawn before.
        """
        drawn = self._trace(self.guide, batch, particles, _as_trace(shared or {}))
        sites = _sites(self._trace(self.model, batch, particles, drawn))
        guided = _sites(drawn).latent
        return replace(sites, guide={name: guided[name] for name in sites.latent})

    def draw_prior(
        self,
        batch: Mapping[str, Tensor],
        particles: int,
        shared: Mapping[str, Tensor] | None = None,
    ) -> Draws:
        """Draw everything from the model, observations too, in the shapes of the batch.

        Args:
            batch: Tensors by name that give the shapes, and inputs that the model does not draw.
            particles: Number of draws.
            shared: Values of latents that all data share, if they were drawn before.

        Raises:
            ConfigError: The model has a distribution without samples.
        """
        try:
            with _Anew():
                return _sites(self._trace(self.model, batch, particles, _as_trace(shared or {})))
        except NotImplementedError as error:
            raise ConfigError(
                f"{type(self.model).__name__} has a distribution that cannot be sampled. Give it "
                "`sample`, or ask for `groups` without prior and predictive draws."
            ) from error

    def predict(self, batch: Mapping[str, Tensor], particles: int, draws: Draws) -> dict[str, Any]:
        """Return the observed sites, drawn anew from the likelihood at draws of the latents.

        Raises:
            ConfigError: The model has a likelihood without samples.
        """
        values = {name: site["value"] for name, site in draws.latent.items()}
        return self.draw_prior(batch, particles, values).observed

    def densities(self, draws: Draws) -> Densities:
        """Return the log-densities of each datum at draws of the guide."""
        likelihood = self._per_datum(draws.observed)
        log_p = log_q = torch.zeros_like(next(iter(likelihood.values())))
        for each in (likelihood | self._per_datum(draws.latent | draws.factors)).values():
            log_p = log_p + each
        for each in self._per_datum(draws.guide).values():
            log_q = log_q + each
        return Densities(log_p, log_q, likelihood)

    def values(self, name: str, value: Tensor, particles: int) -> Float[Tensor, "particle ..."]:
        """Return values of a site with one axis of draws before those that a single draw has."""
        own = value.ndim - len(self.shapes[name])
        draws = value.reshape(value.shape[:own].numel(), *value.shape[own:])
        return draws.expand(particles, *value.shape[own:])

    def _per_datum(self, sites: Mapping[str, Any]) -> dict[str, Float[Tensor, "particle datum"]]:
        """Return the log-densities of sites that belong to a datum, summed over other plates."""
        found = {}
        for name, site in sites.items():
            if (axis := self._row_plate[name]) is not None:
                log_prob = log_density(site)
                log_prob = log_prob.reshape((1,) * (self._depth - log_prob.ndim) + log_prob.shape)
                others = [k for k in range(1, self._depth) if k != self._depth + axis]
                found[name] = log_prob.sum(others) if others else log_prob
        return found

    def _trace(
        self,
        program: Callable[..., Any],
        batch: Mapping[str, Tensor],
        particles: int,
        given: poutine.Trace,
    ) -> poutine.Trace:
        with pyro.plate(_PARTICLES, particles, dim=-self._depth):
            return poutine.trace(poutine.replay(program, trace=given)).get_trace(**batch)


class _Anew(Messenger):
    """Draws what the data would fix.

    As `poutine.uncondition`, which however also draws deterministic sites, in other shapes.
    """

    def _pyro_sample(self, message: Any) -> None:  # noqa: ANN401 - a message of Pyro
        if _kind(message) == "observed":
            message["is_observed"], message["done"], message["value"] = False, False, None
            message["infer"] = {**message["infer"], "_anew": True}


def _traced(model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Draws]:
    drawn = poutine.trace(guide).get_trace(**batch)
    replayed = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(**batch)
    return {"guide": _sites(drawn), "model": _sites(replayed)}


def _first_rows(batch: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    return {name: tensor[[0] * rows] for name, tensor in batch.items()}


def _as_trace(values: Mapping[str, Tensor]) -> poutine.Trace:
    trace = poutine.Trace()
    for name, value in values.items():
        trace.add_node(name, name=name, type="sample", value=value, is_observed=False, infer={})
    return trace


def _sites(trace: poutine.Trace) -> Draws:
    sites: dict[str, dict[str, Any]] = {
        kind: {} for kind in ("latent", "deterministic", "observed", "factors")
    }
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site):
            sites[_kind(site)][name] = site
    return Draws(**sites)


def _kind(site: Mapping[str, Any]) -> str:
    if isinstance(unwrapped(site["fn"]), Unit):
        return "factors"
    if site["infer"].get("_deterministic", False):
        return "deterministic"
    return "observed" if site["is_observed"] or "_anew" in site["infer"] else "latent"


def _depth(site: Mapping[str, Any]) -> int:
    """Return how many axes of a site are no events, those of all its plates at least."""
    plates = [-frame.dim for frame in site["cond_indep_stack"] if frame.dim is not None]
    return max([len(site["fn"].batch_shape), *plates])


def _growing_plate(one: Mapping[str, Any], two: Mapping[str, Any] | None) -> int | None:
    """Return the axis of log-densities, counted from the last, that follows the data."""
    shapes = [tuple(site["fn"].batch_shape) for site in (one, two) if site is not None]
    axis = _growing(shapes[0], shapes[-1])
    return None if axis is None else axis - len(shapes[0])


def _growing(one: tuple[int, ...], two: tuple[int, ...] | None) -> int | None:
    """Return the axis, counted from the first, that follows the number of data, 1 and 2."""
    grown = [k for k, lengths in enumerate(zip(one, two or (), strict=False)) if lengths == (1, 2)]
    return grown[0] if grown else None

"""The evidence lower bound, itemised by site."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from ..zoo.errors import ConfigError
from ..zoo.penalty import is_penalty

__all__ = ["Elbo", "ElboTerms", "is_latent", "is_observed"]


@dataclass(frozen=True, eq=False)
class ElboTerms:
    """An ELBO in nats per datum, and what training minimises.

    Attributes:
        likelihood: Expected log-likelihood of each observed site.
        kl: Kullback-Leibler divergence of each latent site.
        penalty: Terms that the model adds to the objective and that are no part of the ELBO.
        objective: What training minimises: minus the ELBO, with each KL weighted, plus penalties.
    """

    likelihood: dict[str, Float[Tensor, ""]]
    kl: dict[str, Float[Tensor, ""]]
    penalty: dict[str, Float[Tensor, ""]]
    objective: Float[Tensor, ""]

    @property
    def elbo(self) -> Float[Tensor, ""]:
        """The true ELBO: likelihoods minus divergences, unweighted."""
        return torch.stack([*self.likelihood.values()]).sum() - sum(
            self.kl.values(), torch.zeros_like(self.objective)
        )

    def named(self) -> dict[str, Float[Tensor, ""]]:
        """Return the ELBO and every term by name: `log p(site)`, `KL(site)`, `penalty(term)`."""
        named = {"elbo": self.elbo}
        named |= {f"log p({k})": v for k, v in self.likelihood.items()}
        named |= {f"KL({k})": v for k, v in self.kl.items()}
        return named | {f"penalty({k})": v for k, v in self.penalty.items()}

    def itemised(self) -> dict[str, float]:
        """Return the same as numbers: reads the device once for each."""
        return {name: float(term.detach()) for name, term in self.named().items()}


class Elbo(nn.Module):
    """The ELBO of any reparameterised `(model, guide)` pair that keeps the contract.

    Each latent site contributes its analytic KL where one is registered, else the difference of
    log-densities at the draw. A site whose distribution has `proposals` (discrete latents) makes
    the model run once at all proposals, and the distribution combines the results. Agrees with
    `pyro.infer.TraceMeanField_ELBO` where that applies. It reads no number back from the device;
    a model's own checks, such as that of transport, may (see `mutoscope.zoo.checks`).

    Args:
        model: A Pyro model; `model.penalties` is honoured where it exists, and `penalise`.
        guide: Its guide.
        particles: Number of draws to average over, drawn together in a plate outside of all others.
    """

    def __init__(self, model: nn.Module, guide: nn.Module, *, particles: int = 1) -> None:
        super().__init__()
        self.model, self.guide, self.particles = model, guide, particles
        self._outermost: int | None = None

    def forward(
        self,
        batch: Mapping[str, Tensor],
        *,
        size: int,
        kl_weight: Mapping[str, Tensor | float] | None = None,
        beta: float = 1.0,
        free_bits: float = 0.0,
    ) -> ElboTerms:
        """Return the terms of the ELBO, in nats per datum.

        Args:
            batch: Observed tensors by name.
            size: Number of data of the whole set.
            kl_weight: Factor on the KL of each site in the objective; 1 where a site is missing.
            beta: Factor on every KL in the objective, on top (Higgins et al. 2017).
            free_bits: A site whose KL is below this many nats costs the objective that many, and
                nothing pulls it lower (Kingma et al. 2016, arXiv:1606.04934, eq. 15).

        Raises:
            ConfigError: One of model and guide lacks a latent of the other.
        """
        with self._many(batch, size):
            guide_trace = poutine.trace(self.guide).get_trace(**batch, size=size)
            drawn = {name: site for name, site in guide_trace.nodes.items() if is_latent(site)}
            proposals = _proposals(drawn)
            replayed = _with_proposals(guide_trace, drawn, proposals)
            model_trace = poutine.trace(poutine.replay(self.model, replayed)).get_trace(
                **batch, size=size
            )
        likelihood, kl, penalty = {}, {}, {}
        sites: Mapping[str, Any] = model_trace.nodes
        count = size * self.particles
        for name, site in sites.items():
            if is_latent(site):
                kl[name] = _divergence(name, drawn, site) / count
            elif is_observed(site):
                parts = 0 if proposals is None else proposals[1].parts
                log_prob = _in_parts(name, site["fn"], parts).log_prob(site["value"])
                if proposals is not None:
                    log_prob = proposals[1].combine(log_prob)
                likelihood[name] = _total(log_prob, site) / count
            elif is_penalty(site):
                log_factor = site["fn"].log_prob(site["value"])
                if proposals is not None:
                    log_factor = proposals[1].combine(log_factor)
                penalty[name] = -_total(log_factor, site) / count
        if extra := drawn.keys() - kl.keys():
            raise ConfigError(f"The guide samples {sorted(extra)}, but the model does not.")
        penalty |= self._penalties(sites, drawn, proposals)
        return _collect(likelihood, kl, penalty, kl_weight or {}, beta, free_bits)

    def _many(
        self, batch: Mapping[str, Tensor], size: int
    ) -> contextlib.AbstractContextManager[object]:
        """Return the plate of particles, outside of every plate of the model."""
        if self.particles == 1:
            return contextlib.nullcontext()
        outermost = self._outermost
        if outermost is None:
            with torch.no_grad(), torch.random.fork_rng():
                sites = poutine.trace(self.model).get_trace(**batch, size=size).nodes.values()
            dims = [f.dim for s in sites if s["type"] == "sample" for f in s["cond_indep_stack"]]
            self._outermost = outermost = min((dim for dim in dims if dim is not None), default=0)
        plate: Any = pyro.plate("particles", self.particles, dim=outermost - 1)
        return plate

    def _penalties(
        self,
        sites: Mapping[str, Any],
        drawn: Mapping[str, Any],
        proposals: tuple[str, Any] | None,
    ) -> dict[str, Tensor]:
        penalties: Any = getattr(self.model, "penalties", None)
        if penalties is None:
            return {}
        values = {name: site["value"] for name, site in sites.items() if _is_sampled(site)}
        found = penalties(values, _LazyLogProb(drawn))
        if proposals is not None:
            found = {name: proposals[1].combine(term) for name, term in found.items()}
        return {name: term.mean() for name, term in found.items()}


class _LazyLogProb(Mapping[str, Tensor]):
    """The guide's log-density of each site at its draw, computed only where it is read."""

    def __init__(self, drawn: Mapping[str, Any]) -> None:
        self._drawn = drawn

    def __getitem__(self, name: str) -> Tensor:
        site = self._drawn[name]
        log_prob: Tensor = site["fn"].log_prob(site["value"])
        return log_prob

    def __iter__(self) -> Any:  # noqa: ANN401
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)


def _collect(
    likelihood: dict[str, Tensor],
    kl: dict[str, Tensor],
    penalty: dict[str, Tensor],
    kl_weight: Mapping[str, Tensor | float],
    beta: float,
    free_bits: float,
) -> ElboTerms:
    objective = -torch.stack([*likelihood.values()]).sum()
    for name, term in kl.items():
        paid = term.clamp(min=free_bits) if free_bits else term
        objective = objective + beta * kl_weight.get(name, 1.0) * paid
    for term in penalty.values():
        objective = objective + term
    return ElboTerms(likelihood, kl, penalty, objective)


def _is_sampled(site: Any) -> bool:  # noqa: ANN401 - a site of a Pyro trace
    return is_latent(site) or is_observed(site)


def is_latent(site: Any) -> bool:  # noqa: ANN401 - a site of a Pyro trace
    """Tell whether a site is a random variable that no data fix."""
    return site["type"] == "sample" and not site["is_observed"] and not site_is_subsample(site)


def is_observed(site: Any) -> bool:  # noqa: ANN401 - a site of a Pyro trace
    """Tell whether a site is a random variable that data fix."""
    if site["type"] != "sample" or site_is_subsample(site) or is_penalty(site):
        return False
    return site["is_observed"] and not site["infer"].get("_deterministic", False)


def _base(distribution: Any) -> Any:  # noqa: ANN401
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


def _proposals(drawn: Mapping[str, Any]) -> tuple[str, Any] | None:
    found = {}
    for name, site in drawn.items():
        base = _base(site["fn"])
        if hasattr(base, "proposals"):
            made = base.proposals(site["value"], len(site["fn"].event_shape))
            if made is not None:
                found[name] = made
    if len(found) > 1:
        raise ConfigError(f"Only one site may have proposals, found {', '.join(found)}.")
    return next(iter(found.items()), None)


def _in_parts(name: str, distribution: Any, axes: int) -> Any:  # noqa: ANN401
    """Return an observed distribution with so many of its event axes not summed."""
    for _ in range(axes):
        if getattr(distribution, "reinterpreted_batch_ndims", None) != 1:
            raise ConfigError(
                f"Site {name!r} is weighed part by part, but its {type(distribution).__name__} is "
                "one whole. Write `.to_event(1)` last, for the axis of the parts, in the model."
            )
        distribution = distribution.base_dist
    return distribution


def _with_proposals(trace: Any, drawn: Mapping[str, Any], proposals: Any) -> Any:  # noqa: ANN401
    if proposals is None:
        return trace
    replayed = trace.copy()
    for name in drawn:
        site = dict(replayed.nodes[name])
        site["value"] = proposals[1].values if name == proposals[0] else site["value"].unsqueeze(0)
        replayed.nodes[name] = site
    return replayed


def _total(log_prob: Tensor, site: Mapping[str, Any]) -> Tensor:
    mask = site["mask"]
    if mask is not None and mask is not True:
        log_prob = torch.where(torch.as_tensor(mask, device=log_prob.device), log_prob, 0.0)
    return (log_prob * site["scale"]).sum()


def _divergence(name: str, drawn: Mapping[str, Any], site: Mapping[str, Any]) -> Tensor:
    if name not in drawn:
        raise ConfigError(f"The model samples {name!r}, but the guide does not.")
    guide = drawn[name]
    try:
        divergence = kl_divergence(guide["fn"], site["fn"])
    except NotImplementedError:
        value = guide["value"]
        divergence = guide["fn"].log_prob(value) - site["fn"].log_prob(value)
    return _total(divergence, site)

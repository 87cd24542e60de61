"""The evidence lower bound, itemised by site."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from ..zoo.errors import ConfigError

__all__ = ["Elbo", "ElboTerms"]


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

    def itemised(self) -> dict[str, float]:
        """Return every term by name, as numbers: reads the device once for each."""
        named = {"elbo": self.elbo}
        named |= {f"log p({k})": v for k, v in self.likelihood.items()}
        named |= {f"KL({k})": v for k, v in self.kl.items()}
        named |= {f"penalty({k})": v for k, v in self.penalty.items()}
        return {name: float(term.detach()) for name, term in named.items()}


class Elbo(nn.Module):
    """A single-sample ELBO of any reparameterised `(model, guide)` pair that keeps the contract.

    Each latent site contributes its analytic KL where one is registered, else the difference of
    log-densities at the draw. A site whose distribution has `proposals` (discrete latents) makes
    the model run once at all proposals, and the distribution combines the results. Agrees with
    `pyro.infer.TraceMeanField_ELBO` where that applies. It reads no number back from the device;
    a model's own checks, such as that of transport, may.

    Args:
        model: A Pyro model; `model.penalties` is honoured where it exists.
        guide: Its guide.
    """

    def __init__(self, model: nn.Module, guide: nn.Module) -> None:
        super().__init__()
        self.model, self.guide = model, guide

    def forward(
        self,
        batch: Mapping[str, Tensor],
        *,
        size: int,
        kl_weight: Mapping[str, Tensor | float] | None = None,
    ) -> ElboTerms:
        """Return the terms of the ELBO, in nats per datum.

        Args:
            batch: Observed tensors by name.
            size: Number of data of the whole set.
            kl_weight: Factor on the KL of each site in the objective; 1 where a site is missing.
        """
        guide_trace = poutine.trace(self.guide).get_trace(**batch, size=size)
        drawn = {name: site for name, site in guide_trace.nodes.items() if _is_latent(site)}
        proposals = _proposals(drawn)
        replayed = _with_proposals(guide_trace, drawn, proposals)
        model_trace = poutine.trace(poutine.replay(self.model, replayed)).get_trace(
            **batch, size=size
        )
        likelihood, kl = {}, {}
        sites: Mapping[str, Any] = model_trace.nodes
        for name, site in sites.items():
            if _is_latent(site):
                kl[name] = _divergence(name, drawn, site) / size
            elif _is_observed(site):
                log_prob = site["fn"].log_prob(site["value"])
                if proposals is not None:
                    log_prob = proposals[1].combine(log_prob)
                likelihood[name] = _total(log_prob, site) / size
        penalty = self._penalties(sites, drawn, proposals)
        return self._collect(likelihood, kl, penalty, kl_weight or {})

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

    def _collect(
        self,
        likelihood: dict[str, Tensor],
        kl: dict[str, Tensor],
        penalty: dict[str, Tensor],
        kl_weight: Mapping[str, Tensor | float],
    ) -> ElboTerms:
        objective = -torch.stack([*likelihood.values()]).sum()
        for name, term in kl.items():
            objective = objective + kl_weight.get(name, 1.0) * term
        for term in penalty.values():
            objective = objective + term
        return ElboTerms(likelihood, kl, penalty, objective)


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


def _is_sampled(site: Any) -> bool:  # noqa: ANN401 - a site of a Pyro trace
    return _is_latent(site) or _is_observed(site)


def _is_latent(site: Any) -> bool:  # noqa: ANN401 - a site of a Pyro trace
    return site["type"] == "sample" and not site["is_observed"] and not site_is_subsample(site)


def _is_observed(site: Any) -> bool:  # noqa: ANN401 - a site of a Pyro trace
    if site["type"] != "sample" or site_is_subsample(site):
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
    if isinstance(site["mask"], Tensor):
        log_prob = torch.where(site["mask"], log_prob, 0.0)
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

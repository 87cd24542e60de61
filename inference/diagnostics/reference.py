"""Reference posteriors of a few data: chains of NUTS, of Gibbs draws of spikes, and of leaps.

Hoffman, Gelman, "The No-U-Turn Sampler", 2014, JMLR 15. Spikes as in Kuo, Mallick, "Variable
selection for regression models", 1998, Sankhyā B 60: a slab that no spike uses stays a variable,
which follows its prior. Leaps to draws of the guide, as the independence chains of Tierney,
"Markov chains for exploring posterior distributions", 1994, Annals of Statistics 22.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pyro.infer import NUTS
from torch import Tensor, nn

from ... import __version__
from ...zoo.checks import deferred_checks
from ...zoo.errors import ConfigError
from ..coordinates import as_rows, from_rows
from ..groups import Groups
from ..labelled import Group, Labelled, to_arviz
from ..local_latents import frozen, local_latents, points
from ..metrics.particles import check_batch, evaluation, particle_chunks
from ..sampler import Sampler
from .distance import convergence

if TYPE_CHECKING:
    import arviz

__all__ = ["reference_posterior"]

_DRAWS_PER_COORDINATE = 5  # of the guide, that tell where the posterior is and how wide
_JITTER = 1e-4
_LEAPS = 8  # draws of the guide that are offered to a chain between any two steps of NUTS


def reference_posterior(
    model: nn.Module,
    guide: nn.Module,
    data: Mapping[str, Tensor],
    *,
    draws: int = 500,
    warmup: int = 500,
    chains: int = 4,
    seed: int = 0,
) -> "arviz.InferenceData":
    """Draw from the posterior of the latents of a few data by Markov chains; the model stays.

    Chains are exact, whatever the guide, and the faster the better it is. They begin at its draws
    and take their first metric from it. In turn, draws of the guide are offered to them, by their
    importance weights; each spike of a spike-and-slab latent is drawn from its conditional law; and
    NUTS moves all continuous latents, slabs among them, in coordinates without bounds. Chains of
    all data move together, so that the model runs once for all of them.

    Args:
        model: A Pyro model.
        guide: Its guide; a refined one saves many steps.
        data: Observed tensors by name; first axis the data. A few: they take minutes.
        draws: Number of draws of each chain that are kept.
        warmup: Number of draws before these, by which step size and metric are set.
        chains: Number of chains of each datum.
        seed: Of the chains.

    Returns:
        The group `posterior`, with the variables and axes that `mutoscope.inference.posterior`
        gives to it, and `sample_stats` with `r_hat`, `ess` and `converged` of each datum, see
        `convergence`. The number of divergent steps is the attribute `divergences`.

    Raises:
        ConfigError: A number is too small, or a latent is shared by all data, or neither continuous
            nor a spike and slab.
        DataError: There are no data, or some are not finite.
    """
    for name, number, least in (("draws", draws, 4), ("warmup", warmup, 1), ("chains", chains, 2)):
        if number < least:
            raise ConfigError(f"Found {name}={number}, but at least {least} is needed.")
    with evaluation(model, guide, seed=seed), frozen(model, guide):
        batch = check_batch(data, model)
        sampler = Sampler(model, guide, batch)
        groups = Groups(model, sampler)
        values, divergences = _run(_Target(sampler, batch, chains), warmup, draws)
        posterior = _labelled(groups, sampler, batch, values, chains)
        latents = sampler.draw(batch, 1).latent
    found = to_arviz({"posterior": posterior}, {"posterior": groups.coords})
    # Slabs are left out: those that no spike uses are drawn anew, whatever the chains do.
    judged = [n for n in posterior if n in latents or n.endswith("spike")]
    stats = convergence(found["posterior"][judged], groups.datum)
    attributes = {
        "seed": seed,
        "draws": draws,
        "warmup": warmup,
        "divergences": divergences,
        "mutoscope_version": __version__,
    }
    coords = {"posterior": groups.coords}
    return to_arviz({"posterior": posterior, "sample_stats": stats}, coords, attributes)


class _Target:
    """The posterior of the latents of some data, for chains of all of them at once.

    Its points are coordinates, standardised by the mean and the covariance of draws of the guide.

    Attributes:
        start: Where the chains begin: at draws of the guide.
    """

    start: Float[Tensor, "chain datum coordinate"]

    def __init__(self, sampler: Sampler, batch: Mapping[str, Tensor], chains: int) -> None:
        self._sampler, self._batch, self._chains = sampler, batch, chains
        drawn = sampler.draw(batch, chains).latent
        self._latents = local_latents(sampler, drawn)
        for name in drawn:
            if name not in self._latents or self._latents[name].coordinates is None:
                raise ConfigError(
                    f"{name!r} is {'discrete' if name in self._latents else 'shared by all data'}, "
                    "but chains need latents of each datum that are continuous, or a spike and "
                    "slab. Give a model where it is fixed, by `pyro.condition`."
                )
        self._templates = {name: site["value"] for name, site in drawn.items()}
        start = points(self._latents, drawn)
        pilot = particle_chunks(batch, 100 + _DRAWS_PER_COORDINATE * start.shape[-1])
        parts = [points(self._latents, sampler.draw(batch, n).latent) for n in pilot]
        self._centre = torch.cat(parts).mean(0)
        away = torch.cat(parts) - self._centre
        covariance = torch.einsum("pni,pnj->nij", away, away) / (len(away) - 1)
        floor = torch.diag_embed(_JITTER * covariance.diagonal(dim1=-2, dim2=-1) + _JITTER**2)
        self._scale = torch.linalg.cholesky(covariance + floor)
        self.start = self._standardised(start)

    def values(self, point: Float[Tensor, "chain datum coordinate"]) -> dict[str, Tensor]:
        """Return the latents at a point, with the spikes as they are."""
        coordinates = self._coordinates(point)
        return {
            name: latent.coordinates.write(coordinates[..., latent.where], self._templates[name])
            for name, latent in self._latents.items()
            if latent.coordinates
        }

    def log_density(
        self, point: Float[Tensor, "chain datum coordinate"]
    ) -> Float[Tensor, "chain datum"]:
        """Return the log-density of a point, given the spikes, up to a constant.

        It is minus infinity where the model cannot be evaluated.
        """
        with deferred_checks():
            drawn = self._sampler.draw(self._batch, self._chains, self.values(point))
            total = self._sampler.densities(replace(drawn, guide={})).log_p
        coordinates = self._coordinates(point)
        for name, latent in self._latents.items():
            if latent.coordinates:
                place, template = coordinates[..., latent.where], self._templates[name]
                density = latent.coordinates.log_volume(place, template)
                if latent.coordinates.sparse:
                    law = drawn.latent[name]["fn"]
                    density = density + latent.coordinates.unused_log_density(place, template, law)
                total = total + as_rows(density, template.ndim - latent.axes, latent.row).sum(-1)
        return torch.where(total.isnan(), -torch.inf, total)

    def flip(self, point: Float[Tensor, "chain datum coordinate"]) -> None:
        """Draw every spike from its law given all else."""
        sparse = [n for n, x in self._latents.items() if x.coordinates and x.coordinates.sparse]
        density = self.log_density(point) if sparse else torch.zeros(())
        for name in sparse:
            latent, shape = self._latents[name], self._templates[name].shape
            draws = len(shape) - latent.axes
            spikes = (as_rows(self._templates[name], draws, latent.row) != 0).to(point.dtype)
            for k in range(spikes.shape[-1]):
                flipped = spikes.clone()
                flipped[..., k] = 1 - spikes[..., k]
                self._templates[name] = from_rows(flipped, shape, draws, latent.row)
                other = self.log_density(point)
                chosen = torch.rand_like(density) < torch.sigmoid(other - density)
                density = torch.where(chosen, other, density)
                spikes = torch.where(chosen.unsqueeze(-1), flipped, spikes)
            self._templates[name] = from_rows(spikes, shape, draws, latent.row)

    def leap(
        self, point: Float[Tensor, "chain datum coordinate"]
    ) -> Float[Tensor, "chain datum coordinate"]:
        """Give up points and spikes for draws of the guide, as often as their weights allow."""
        chains = self._chains
        with deferred_checks():
            drawn = self._sampler.draw(self._batch, _LEAPS * chains)
            now = self._sampler.draw(self._batch, chains, self.values(point))
            found = [self._sampler.densities(each) for each in (drawn, now)]
        offered, weight = ((each.log_p - each.log_q) for each in found)
        taken = torch.full_like(weight, -1, dtype=torch.long)
        own = torch.arange(chains, device=weight.device).unsqueeze(-1)
        for k in range(0, _LEAPS * chains, chains):
            better = torch.rand_like(weight).log() < offered[k : k + chains] - weight
            weight = torch.where(better, offered[k : k + chains], weight)
            taken = torch.where(better, k + own, taken)
        for name, latent in self._latents.items():
            old, new = self._templates[name], drawn.latent[name]["value"]
            draws = old.ndim - latent.axes
            rows = (as_rows(each, draws, latent.row) for each in (old, new))
            self._templates[name] = from_rows(_taken(taken, *rows), old.shape, draws, latent.row)
        new_points = points(self._latents, drawn.latent)
        return self._standardised(_taken(taken, self._coordinates(point), new_points))

    def _standardised(
        self, coordinates: Float[Tensor, "chain datum coordinate"]
    ) -> Float[Tensor, "chain datum coordinate"]:
        away = (coordinates - self._centre).permute(1, 2, 0)
        return torch.linalg.solve_triangular(self._scale, away, upper=False).permute(2, 0, 1)

    def _coordinates(self, point: Tensor) -> Float[Tensor, "chain datum coordinate"]:
        return self._centre + (self._scale @ point.unsqueeze(-1)).squeeze(-1)


def _taken(
    which: Int[Tensor, "chain datum"],
    old: Shaped[Tensor, "chain datum number"],
    new: Shaped[Tensor, "offer datum number"],
) -> Shaped[Tensor, "chain datum number"]:
    """Return what was offered, or what was there where the number of the offer is negative."""
    offered = new[which.clamp(min=0), torch.arange(new.shape[1], device=new.device)]
    return torch.where((which < 0).unsqueeze(-1), old, offered)


def _run(target: _Target, warmup: int, draws: int) -> tuple[dict[str, Tensor], int]:
    """Return the latents of all chains, one chain after the other, and how many steps diverged."""
    chains, data, _ = target.start.shape
    names = [f"{chain} {datum}" for chain in range(chains) for datum in range(data)]

    def point(parts: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([parts[name] for name in names]).unflatten(0, (chains, data))

    nuts = NUTS(
        potential_fn=lambda parts: -target.log_density(point(parts)).sum(),
        full_mass=[(name,) for name in names],
    )
    now = dict(zip(names, target.start.flatten(0, 1).clone(), strict=True))
    nuts.initial_params, kept = now, []
    with torch.enable_grad():
        nuts.setup(warmup)
    for step in range(warmup + draws):
        leapt = target.leap(point(now))
        target.flip(leapt)
        nuts.clear_cache()
        with torch.enable_grad():
            now = nuts.sample(dict(zip(names, leapt.flatten(0, 1), strict=True)))
        if step >= warmup:
            kept.append(target.values(point(now)))
    values = {name: torch.stack([each[name] for each in kept], 1).flatten(0, 1) for name in kept[0]}
    return values, len(nuts.diagnostics()["divergences"])


def _labelled(
    groups: Groups,
    sampler: Sampler,
    batch: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    chains: int,
) -> Group:
    """Return the variables of the group `posterior` at draws of the latents."""
    total, first, parts = len(next(iter(values.values()))), 0, []
    for number in particle_chunks(batch, total):
        some = {name: value[first : first + number] for name, value in values.items()}
        parts.append(groups.drawn(sampler.draw(batch, number, some), number))
        first += number
    found = {}
    for name, (axes, _) in parts[0].items():
        array = np.concatenate([part[name].values for part in parts], 1)
        found[name] = Labelled(axes, array.reshape(chains, -1, *array.shape[2:]))
    return found

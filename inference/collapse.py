"""The alarm of a fit: latents that say nothing of the data, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution

from .coordinates import as_rows, from_rows
from .metrics.particles import check_batch, evaluation, particle_chunks
from .sampler import Draws, Sampler

__all__ = ["Collapse", "collapsed_latents", "declared_alarms"]

_DRAWS = 128
_LEAST = 0.01
_NAMED = 8
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Collapse:
    """A latent that says nothing of the data, wholly or at some places.

    Attributes:
        site: Its name.
        places: The coordinates that do not, by names of axes; none if it is all of them.
        point: Whether the guide gives a point, so that only the model shows what it is worth.
    """

    site: str
    places: tuple[str, ...]
    point: bool

    def __str__(self) -> str:
        """Return what was found, and what to do, in words."""
        named = "; ".join(self.places[:_NAMED])
        more = f" and {len(self.places) - _NAMED} more" if len(self.places) > _NAMED else ""
        where = f" at {named}{more}" if self.places else ""
        found = (
            "exchanging its values between data changes nothing that the model makes of them"
            if self.point
            else "its posterior is the same for all data"
        )
        return (
            f"Latent {self.site!r} has collapsed{where}: {found}. If it is needed, lower "
            "weight_decay or beta, raise free_bits, or try other initial parameters with restarts."
        )


def collapsed_latents(
    model: nn.Module, guide: nn.Module, data: Mapping[str, Tensor], *, seed: int = 0
) -> tuple[Collapse, ...]:
    """Return the latents of each datum that say nothing of it.

    A number has collapsed if less than 0.01 of its variance is between the means of its posteriors
    (Burda et al. 2016, section 5, with the variance as the unit). A guide that gives points has no
    variance within: there it has collapsed if the log-density of a datum changes by less than 0.01
    nats, on average, with the value of another datum in its place. Sites that `model.spare` names
    may have idle numbers, and only collapse where nearly all of these are.

    Args:
        model: A Pyro model.
        guide: Its guide.
        data: Observed tensors by name; first axis the data, of which some dozens are enough.
        seed: Of the draws.

    Raises:
        ConfigError: Model and guide break the contract.
        DataError: There are no data, or some are not finite.
    """
    with evaluation(model, guide, seed=seed):
        batch = check_batch(data, model)
        if len(next(iter(batch.values()))) < 2:
            return ()
        sampler = Sampler(model, guide, batch)
        drawn = sampler.draw(batch, 1)
        found = []
        for name, site in drawn.guide.items():
            if name in sampler.shared:
                continue
            worth = _share_between(sampler, name, site["fn"])
            point = worth is None
            if worth is None:
                worth = _change_by_exchange(sampler, batch, drawn, name)
            collapsed = (worth < _LEAST).cpu().numpy()
            spare = name in getattr(model, "spare", ()) and collapsed.mean() < _NEARLY_ALL
            if collapsed.any() and not spare:
                found.append(Collapse(name, _places(model, sampler, name, collapsed), point))
    return tuple(found)


def declared_alarms(
    guide: nn.Module, data: Mapping[str, Tensor], history: Sequence[Mapping[str, float]]
) -> tuple[str, ...]:
    """Return what a guide itself finds wrong: the sentences of its `alarms`, if it has such.

    Args:
        guide: A guide; it may have a method `alarms(batch, history)`.
        data: Held-out tensors by name.
        history: Rows of the history of training, in order.
    """
    declared: Any = getattr(guide, "alarms", None)
    return () if declared is None else tuple(declared(data, history))


def _share_between(
    sampler: Sampler, name: str, law: Distribution
) -> Float[Tensor, " number"] | None:
    """Return the share of variance that is between data; None if there is none within."""
    axes, row = len(sampler.shapes[name]), sampler.row_axis[name]
    values = law.sample((_DRAWS,))
    rows = as_rows(values.double(), values.ndim - axes, row or 0)
    within = rows.var(0).mean(0)
    if not bool(within.any()):
        return None
    between = (rows.mean(0).var(0) - within / len(rows)).clamp(min=0)
    return between / (between + within).clamp(min=torch.finfo(within.dtype).tiny)


def _change_by_exchange(
    sampler: Sampler, batch: Mapping[str, Tensor], drawn: Draws, name: str
) -> Float[Tensor, " number"]:
    """Return by how many nats a datum changes, on average, with each number of another datum."""
    values = {n: site["value"] for n, site in drawn.latent.items()}
    axes, row = values[name].ndim - len(sampler.shapes[name]), sampler.row_axis[name] or 0
    rows = as_rows(values[name], axes, row)
    numbers = torch.arange(rows.shape[-1])
    changes = []
    before = _likelihood(sampler, drawn)
    for chunk in numbers.split(particle_chunks(batch, len(numbers))):
        exchanged = rows.repeat(len(chunk), 1, 1)
        exchanged[torch.arange(len(chunk)), :, chunk] = rows[0].roll(1, 0).T[chunk]
        given = {n: value.expand(len(chunk), *value.shape[1:]) for n, value in values.items()}
        shape = given[name].shape
        given[name] = from_rows(exchanged, shape, axes, row)
        after = _likelihood(sampler, sampler.draw(batch, len(chunk), given))
        changes.append((after - before).abs().mean(-1))
    return torch.cat(changes)


def _likelihood(sampler: Sampler, draws: Draws) -> Float[Tensor, "particle datum"]:
    return torch.stack([*sampler.densities(draws).log_likelihood.values()]).sum(0)


def _places(
    model: Any,  # noqa: ANN401 - a module with `dims` and `coords`
    sampler: Sampler,
    name: str,
    collapsed: Bool[np.ndarray, " number"],
) -> tuple[str, ...]:
    """Return coordinates in words, without the axes along which all are alike."""
    shape, row = list(sampler.shapes[name]), sampler.row_axis[name] or 0
    axes = list(getattr(model, "dims", {}).get(name, [f"axis {k}" for k in range(len(shape))]))
    shape.pop(row), axes.pop(row)
    grid = collapsed.reshape(shape)
    for place in reversed(range(len(axes))):
        if np.array_equal(grid.any(place), grid.all(place)):
            grid = np.asarray(grid.any(place))
            axes.pop(place)
    labels: Mapping[str, list[str]] = getattr(model, "coords", {})
    words = (
        ", ".join(
            str(labels[axis][k]) if axis in labels else f"{axis} {k}"
            for axis, k in zip(axes, index, strict=True)
        )
        for index in np.argwhere(grid)
    )
    return tuple(words) if axes else ()

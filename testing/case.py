"""What the contract is tested on, and how it looks inside a pair."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..guides.registry import Entry
from ..zoo.penalty import is_penalty

__all__ = ["Case", "Sites", "sites_of"]

_SEED = 20241  # unlike any other, so that what is wrongly drawn again is not the same by chance


class Case:
    """The example of an entry, made before a test opens plates, inside which it may be another.

    Args:
        entry: Whose contract is tested.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry, self.example = entry, entry.example()

    @property
    def batch(self) -> dict[str, Tensor]:
        """Copies of the observed tensors, by name."""
        return {name: tensor.clone() for name, tensor in self.example.batch.items()}

    @property
    def count(self) -> int:
        """Number of data of the batch."""
        return len(next(iter(self.example.batch.values())))

    def pair(self) -> tuple[Any, Any]:
        """Build the model and its guide, with the same initial parameters every time."""
        entry, example = self.entry, self.example
        with torch.random.fork_rng():
            torch.manual_seed(_SEED)
            model = entry.model(entry.model.Config.from_dict(example.model))
            return model, entry.guide(model, entry.guide.Config.from_dict(example.guide))


@dataclass(frozen=True)
class Sites:
    """Sites of one run of a program, by name, in order.

    Attributes:
        latent: Those that were drawn.
        observed: Those that the data fix.
        deterministic: Those that are computed from others.
    """

    latent: dict[str, Any]
    observed: dict[str, Any]
    deterministic: dict[str, Any]

    @property
    def random(self) -> dict[str, Any]:
        """Sites with a density: latent and observed ones."""
        return self.latent | self.observed

    @property
    def all(self) -> dict[str, Any]:
        """Every site."""
        return self.random | self.deterministic


def sites_of(
    program: Callable[..., Any],
    batch: Mapping[str, Tensor],
    *,
    size: int | None = None,
    given: Mapping[str, Tensor] | None = None,
) -> Sites:
    """Run a Pyro program and return its sites with their log-densities.

    Args:
        program: A model or a guide.
        batch: Its observed tensors.
        size: Number of data of the whole set.
        given: Values of latent sites; the others are drawn.
    """
    values = dict(given or {})
    trace: Any = poutine.trace(poutine.condition(program, values)).get_trace(**batch, size=size)
    trace.compute_log_prob()
    sites = Sites({}, {}, {})
    for name, site in trace.nodes.items():
        if site["type"] != "sample" or site_is_subsample(site) or is_penalty(site):
            continue
        if site["infer"].get("_deterministic", False):
            sites.deterministic[name] = site
        elif site["is_observed"] and name not in values:
            sites.observed[name] = site
        else:
            sites.latent[name] = site
    return sites

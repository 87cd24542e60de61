"""The work behind `posterior`: draws of all data, batch by batch, put into groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..zoo.errors import DataError
from .groups import Groups, truth_group
from .labelled import Coords, Group
from .metrics.particles import check_batch, particle_chunks
from .sampler import Draws, Sampler
from .storage import Storage

__all__ = ["GROUPS", "Drawing", "Observations"]

GROUPS = (
    "posterior",
    "sample_stats",
    "log_likelihood",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "observed_data",
    "constant_data",
)
_PREDICTIVE = ("posterior_predictive", "prior", "prior_predictive")
_PREDICTED_NUMBERS = 2**25  # of all data and draws, unless more are asked for: 128 MiB of them
# Each kind of draw has a stream of random numbers for itself, so that none depends on whether the
# others are asked for.
_OF_GUIDE, _OF_LIKELIHOOD, _OF_PRIOR = range(3)


class Observations(Protocol):
    """A split of a data set: so many data, any of which can be asked for."""

    def __len__(self) -> int:
        """Return the number of data."""

    def batch(self, indices: Any) -> dict[str, Tensor]:  # noqa: ANN401  # as data sets take them
        """Return the observed tensors of the data at `indices`, by name."""


class Drawing:
    """Draws of a model and its guide for all data; see `posterior` for the arguments.

    Attributes:
        lengths: Full length of the axes that are filled batch by batch, by group.
        coords: Labels of the axes, by group.
        total: Number of draws of all data that will be made.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        data: Observations | Mapping[str, Tensor],
        *,
        draws: int,
        predictive_draws: int | None,
        seed: int,
        batch_size: int,
        groups: frozenset[str],
    ) -> None:
        self._draws, self._seed, self._wanted = draws, seed, groups
        self._batches = _Batches(model, data, batch_size)
        first, count = self._batches.rows(0, 1), self._batches.count
        self._sampler = Sampler(model, guide, first)
        self._groups = Groups(model, self._sampler)
        datum = self._groups.datum
        numbers = count * sum(tensor.numel() for tensor in first.values())
        fitting = min(draws, max(1, _PREDICTED_NUMBERS // max(1, numbers)))
        self._predicted = fitting if predictive_draws is None else predictive_draws
        self._truth, labels = truth_group(getattr(data, "truth", None), datum, count)
        coords = self._groups.coords | _labels_of_data(model, datum, count)
        self.coords: dict[str, Coords] = dict.fromkeys(GROUPS, coords)
        self.coords["constant_data"] = labels
        self.lengths = {
            group: {"draw": self._predicted if group in _PREDICTIVE else draws, datum: count}
            for group in GROUPS
        }
        self._from_prior = not groups.isdisjoint(("prior", "prior_predictive"))
        self.total = count * (draws + self._from_prior * self._predicted)

    def fill(self, storage: Storage, advance: Callable[[int], object]) -> None:
        """Make all draws.

        Args:
            storage: Where they are put.
            advance: Is told how many draws of data have been made since it was last told.
        """
        self._put(storage, "constant_data", self._truth)
        of_guide, of_prior = _Shared(self._sampler), _Shared(self._sampler)
        for row, batch in self._batches:
            rows = len(next(iter(batch.values())))
            for draw, particles in _chunks(batch, self._draws):
                self._draw_guide(storage, batch, row, draw, particles, of_guide)
                advance(rows * particles)
            for draw, particles in _chunks(batch, self._predicted) if self._from_prior else ():
                self._draw_prior(storage, batch, row, draw, particles, of_prior)
                advance(rows * particles)

    def _draw_guide(
        self,
        storage: Storage,
        batch: Mapping[str, Tensor],
        row: int,
        draw: int,
        particles: int,
        shared: "_Shared",
    ) -> None:
        sampler, groups, start = self._sampler, self._groups, self._start(row, draw)
        self._begin(_OF_GUIDE, row, draw)
        draws = sampler.draw(batch, particles, shared.given(row, draw, particles))
        shared.keep(row, draws)
        if "posterior" in self._wanted:
            self._put(storage, "posterior", groups.drawn(draws, particles), start)
        if not self._wanted.isdisjoint(("sample_stats", "log_likelihood")):
            found = sampler.densities(draws)
            stats = groups.per_datum({"log_p": found.log_p, "log_q": found.log_q})
            self._put(storage, "sample_stats", stats, start)
            likelihood = groups.per_datum(found.log_likelihood)
            self._put(storage, "log_likelihood", likelihood, start)
        if draw == 0:
            self._put(storage, "observed_data", groups.observed(draws), start)
        if "posterior_predictive" in self._wanted and draw < self._predicted:
            self._begin(_OF_LIKELIHOOD, row, draw)
            predicted = groups.predicted(sampler.predict(batch, particles, draws), particles)
            kept = {n: v.first("draw", self._predicted - draw) for n, v in predicted.items()}
            self._put(storage, "posterior_predictive", kept, start)

    def _draw_prior(
        self,
        storage: Storage,
        batch: Mapping[str, Tensor],
        row: int,
        draw: int,
        particles: int,
        shared: "_Shared",
    ) -> None:
        start = self._start(row, draw)
        self._begin(_OF_PRIOR, row, draw)
        draws = self._sampler.draw_prior(batch, particles, shared.given(row, draw, particles))
        shared.keep(row, draws)
        self._put(storage, "prior", self._groups.drawn(draws, particles), start)
        predicted = self._groups.predicted(draws.observed, particles)
        self._put(storage, "prior_predictive", predicted, start)

    def _start(self, row: int, draw: int) -> dict[str, int]:
        return {"draw": draw, self._groups.datum: row}

    def _begin(self, *stream: int) -> None:
        """Draw from one of many independent streams of the seed from now on."""
        state = np.random.SeedSequence((self._seed % 2**64, *stream)).generate_state(2)
        torch.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)

    def _put(
        self, storage: Storage, group: str, variables: Group, start: Mapping[str, int] | None = None
    ) -> None:
        if group in self._wanted:
            for name, block in variables.items():
                storage.put(group, name, block, start)


class _Shared:
    """Latents that all data share: drawn with the first batch, and given to all others."""

    def __init__(self, sampler: Sampler) -> None:
        self._parts: dict[str, list[Tensor]] = {name: [] for name in sampler.shared}

    def given(self, row: int, draw: int, particles: int) -> dict[str, Tensor]:
        if row == 0:
            return {}
        return {n: torch.cat(parts)[draw : draw + particles] for n, parts in self._parts.items()}

    def keep(self, row: int, draws: Draws) -> None:
        for name, parts in self._parts.items():
            if row == 0:
                parts.append(draws.latent[name]["value"])


class _Batches:
    """Data in their order, on the model's device."""

    def __init__(
        self, model: nn.Module, data: Observations | Mapping[str, Tensor], batch_size: int
    ) -> None:
        self._model, self._size = model, batch_size
        self._data = check_batch(data, model) if isinstance(data, Mapping) else data
        known = self._data
        self.count = len(next(iter(known.values())) if isinstance(known, Mapping) else known)
        if self.count == 0:
            raise DataError("Found a split without data, but at least one datum is needed.")

    def rows(self, start: int, stop: int) -> dict[str, Tensor]:
        if isinstance(self._data, Mapping):
            return {name: tensor[start:stop] for name, tensor in self._data.items()}
        return check_batch(self._data.batch(torch.arange(start, stop)), self._model)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield each batch after the number of its first datum."""
        for start in range(0, self.count, self._size):
            yield start, self.rows(start, min(start + self._size, self.count))


def _labels_of_data(model: nn.Module, datum: str, count: int) -> dict[str, Sequence[str]]:
    """Return what the model calls its data, if these are as many."""
    labels = getattr(model, "coords", {}).get(datum, ())
    return {datum: labels} if len(labels) == count else {}


def _chunks(batch: Mapping[str, Tensor], draws: int) -> Iterator[tuple[int, int]]:
    """Yield the number of the first draw, and how many fit in memory together with it."""
    first = 0
    for particles in particle_chunks(batch, draws):
        yield first, particles
        first += particles

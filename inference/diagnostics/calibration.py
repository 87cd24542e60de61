"""Simulation-based calibration: does a guide find again what its model has drawn?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from xarray import DataArray, concat

from ...zoo.errors import ConfigError, DataError
from ..groups import Groups
from ..metrics.particles import check_batch, evaluation, particle_chunks
from ..sampler import Draws, Sampler
from .draws import quantities, require_axes
from .uniformity import bands, distribution_function, place, uniform_p_value

if TYPE_CHECKING:
    from ..drawing import Observations

__all__ = ["LOG_LIKELIHOOD", "Calibration", "judge", "simulation_based_calibration"]

LOG_LIKELIHOOD = "log_likelihood"
_NOTABLE = 2.0  # standard deviations from which bias and width are named as what is wrong


@dataclass(frozen=True, eq=False)
class Calibration:
    """Where true values lie among draws of a guide, over many simulated data.

    Attributes:
        place: From 0 (below all draws) to 1, for each `quantity` and `simulation`. Uniform if the
            guide is the posterior, and independent from simulation to simulation.
        share: Distribution function of the places of each quantity, at every `point`.
        lower: Lower end of the band of that function, at every point.
        upper: Its upper end.
        p_value: Of the places of each quantity being uniform.
        bias: Mean place, in standard deviations of a uniform one: positive where the truth tends
            to be above the draws. The first Legendre polynomial of Neyman's smooth test.
        width: The second one: positive where the truth is too often among or beyond the outermost
            draws (a U of places), so that the guide is too narrow; negative if it is too wide.
        probability: That all quantities stay within the band at all points, if the guide is the
            posterior.
    """

    place: Float[DataArray, "quantity simulation"]
    share: Float[DataArray, "quantity point"]
    lower: Float[DataArray, " point"]
    upper: Float[DataArray, " point"]
    p_value: Float[DataArray, " quantity"]
    bias: Float[DataArray, " quantity"]
    width: Float[DataArray, " quantity"]
    probability: float

    @property
    def verdicts(self) -> dict[str, str]:
        """What each quantity is: "calibrated", or what is wrong, such as "too narrow"."""
        inside = (self.share >= self.lower) & (self.share <= self.upper)
        return {
            str(name): "calibrated" if bool(inside.sel(quantity=name).all()) else self._why(name)
            for name in self.share["quantity"].values
        }

    @property
    def concerns(self) -> tuple[str, ...]:
        """What is wrong, in sentences; none if nothing is."""
        return tuple(
            f"The guide's {name} is {verdict} (bias {float(self.bias.sel(quantity=name)):+.1f}, "
            f"width {float(self.width.sel(quantity=name)):+.1f} standard deviations)."
            for name, verdict in self.verdicts.items()
            if verdict != "calibrated"
        )

    def __str__(self) -> str:
        """Return what was found, in words."""
        verdicts = list(self.verdicts.values())
        count = self.place.sizes["simulation"]
        first = (
            f"{verdicts.count('calibrated')} of {len(verdicts)} quantities are calibrated over "
            f"{count} simulated data (bands of {self.probability:.0%})."
        )
        return "\n".join((first, *self.concerns))

    def _why(self, name: str) -> str:
        bias, width = (float(each.sel(quantity=name)) for each in (self.bias, self.width))
        if name == LOG_LIKELIHOOD and abs(bias) > _NOTABLE:
            return f"{'below' if bias > 0 else 'above'} that of the truth"
        words = []
        if abs(width) > _NOTABLE:
            words.append("too narrow" if width > 0 else "too wide")
        if abs(bias) > _NOTABLE:
            words.append(f"biased {'downwards' if bias > 0 else 'upwards'}")
        return " and ".join(words) or "of another shape than the posterior"


def simulation_based_calibration(
    model: nn.Module,
    guide: nn.Module,
    data: Observations | Mapping[str, Tensor],
    *,
    simulations: int = 1000,
    draws: int = 100,
    seed: int = 0,
    batch_size: int = 256,
    variables: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    probability: float = 0.95,
) -> Calibration:
    """Draw latents and data from a model, and see where the latents lie among draws of its guide.

    Talts, Betancourt, Simpson, Vehtari, Gelman, "Validating Bayesian inference algorithms with
    simulation-based calibration", 2018, arXiv:1804.06788, with the test of `uniformity`; what bias
    and width say is that of variational SBC (Yao, Vehtari, Simpson, Gelman 2018, arXiv:1802.02538).
    Learned parameters are as they are, and latents that all data share stay at one draw of the
    guide. What is judged is the guide on data that the model makes up; if these look unlike real
    ones (see `predictive_check`), it may do better or worse on those.

    All elements of a variable that share the labels of their axes make one quantity, of which each
    simulation gives one element, taken at random: so places stay independent. The log-likelihood is
    a quantity too, since a guide that ignores the data passes without (Modrák et al. 2023,
    arXiv:2211.02383).

    Args:
        model: A Pyro model whose observed sites are called like the tensors that it takes.
        guide: Its guide.
        data: Gives the shapes of the simulated data, and inputs that the model does not draw. A
            split, or tensors by name; its rows are used in turn.
        simulations: Number of simulated data.
        draws: Number of draws of the guide for each.
        seed: Of everything.
        batch_size: Number of data that are simulated at once.
        variables: Of the group `posterior`; latent sites and the log-likelihood by default.
        by: Axes along which every position is a quantity by itself; those with labels by default.
        probability: That an exact guide passes.

    Raises:
        ConfigError: A number is out of range, a variable or axis unknown, or what the model draws
            cannot be handed to the guide.
        DataError: There are no data, or a whole data set was given.
    """
    if simulations < 10 or draws < 1 or batch_size < 1 or not 0 < probability < 1:
        raise ConfigError(
            f"Found {simulations} simulations, {draws} draws, batch_size={batch_size} and "
            f"probability={probability}, but at least 10, 1 and 1 and something strictly between "
            "0 and 1 are needed."
        )
    random = np.random.default_rng(seed)
    with evaluation(model, guide, seed=seed):
        rows = _rows(model, data, simulations)
        simulator = _Simulator(model, guide, rows, variables)
        parts = []
        for start in range(0, simulations, batch_size):
            index = torch.arange(start, min(start + batch_size, simulations))
            batch = {name: tensor[index % len(tensor)] for name, tensor in rows.items()}
            parts.append(simulator.places(batch, draws, random))
    found: dict[str, np.ndarray] = {}
    require_axes(by, parts[0].values(), simulator.datum)
    for name in parts[0]:
        whole = concat([part[name] for part in parts], simulator.datum)
        for label, values in quantities(name, whole, by):
            found[label] = _one_of_each(values.values, random)
    places = np.stack(list(found.values()))
    names = {"quantity": list(found)}
    return judge(DataArray(places, dims=("quantity", "simulation"), coords=names), probability)


def judge(place: Float[DataArray, "quantity simulation"], probability: float) -> Calibration:
    """Return whether places are uniform, and if not, why.

    Args:
        place: See `Calibration`; independent from simulation to simulation.
        probability: Of the bands of all quantities, should they be uniform.
    """
    values, names = place.values, place["quantity"]
    points, share = distribution_function(values)
    count = values.shape[1]
    lower, upper = bands(count, probability ** (1 / len(values)))
    centred, at = 2 * values - 1, {"point": points}
    moments = {
        "p_value": np.array([uniform_p_value(each) for each in values]),
        "bias": np.sqrt(3 * count) * centred.mean(1),
        "width": np.sqrt(5 * count) * (1.5 * np.square(centred) - 0.5).mean(1),
    }
    return Calibration(
        place=place,
        share=DataArray(share, dims=("quantity", "point"), coords={"quantity": names} | at),
        lower=DataArray(lower, dims="point", coords=at),
        upper=DataArray(upper, dims="point", coords=at),
        **{
            n: DataArray(v, dims="quantity", coords={"quantity": names}) for n, v in moments.items()
        },
        probability=probability,
    )


class _Simulator:
    """Draws data from a model, and tells where their latents lie among draws of the guide."""

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        rows: Mapping[str, Tensor],
        variables: Sequence[str] | None,
    ) -> None:
        one = {name: tensor[:1] for name, tensor in rows.items()}
        self._sampler = Sampler(model, guide, one)
        self._groups = Groups(model, self._sampler)
        self.datum = self._groups.datum
        draws = self._sampler.draw(one, 1)
        if unknown := draws.observed.keys() - rows.keys():
            raise ConfigError(
                f"The model observes {', '.join(sorted(unknown))}, but takes {', '.join(rows)}: "
                "what it draws could not be handed to the guide. Call tensors like the sites that "
                "they fix, or leave out those that are optional."
            )
        self._shared = {name: draws.latent[name]["value"] for name in self._sampler.shared}
        known = self._variables(draws, 1)
        latent = [name for name in known if name in {*draws.latent, LOG_LIKELIHOOD}]
        self._names = latent if variables is None else list(variables)
        if not self._names or not known.keys() >= {*self._names}:
            raise ConfigError(
                f"Found variables {self._names}, but one or more of {', '.join(known)} are needed."
            )

    def places(
        self, batch: Mapping[str, Tensor], draws: int, random: np.random.Generator
    ) -> dict[str, DataArray]:
        """Return the place of every element of every variable; first axis the data."""
        prior = self._sampler.draw_prior(batch, 1, self._shared)
        truth = {name: values[0] for name, values in self._variables(prior, 1).items()}
        sites = prior.observed.items()
        simulated = {**batch, **{n: self._sampler.values(n, s["value"], 1)[0] for n, s in sites}}
        below, ties = ({n: 0 * truth[n].astype(int) for n in self._names} for _ in range(2))
        for particles in particle_chunks(simulated, draws):
            guided = self._sampler.draw(simulated, particles, self._shared)
            found = self._variables(guided, particles)
            for name in self._names:
                below[name] = below[name] + (found[name] < truth[name]).sum("draw")
                ties[name] = ties[name] + (found[name] == truth[name]).sum("draw")
        return {
            name: truth[name].copy(data=place(below[name].values, ties[name].values, draws, random))
            for name in self._names
        }

    def _variables(self, draws: Draws, particles: int) -> dict[str, DataArray]:
        """Return what belongs to a datum, with the axes of draws and of data first."""
        coords = self._groups.coords
        drawn = self._groups.drawn(draws, particles)
        likelihood = [*self._sampler.densities(draws).log_likelihood.values()]
        drawn |= self._groups.per_datum({LOG_LIKELIHOOD: torch.stack(likelihood).sum(0)})
        return {
            name: DataArray(
                values[0], dims=axes[1:], coords={a: coords[a] for a in axes if a in coords}
            ).transpose("draw", self.datum, ...)
            for name, (axes, values) in drawn.items()
            if self.datum in axes
        }


def _rows(
    model: nn.Module, data: Observations | Mapping[str, Tensor], most: int
) -> dict[str, Tensor]:
    if isinstance(data, Mapping):
        return check_batch(data, model)
    if not hasattr(data, "batch"):
        raise DataError(
            f"Found a {type(data).__name__}, but a split or tensors by name are needed: of a whole "
            "data set, give `data.test`."
        )
    return check_batch(data.batch(torch.arange(min(len(data), most))), model)


def _one_of_each(
    places: Float[np.ndarray, "simulation ..."], random: np.random.Generator
) -> Float[np.ndarray, " simulation"]:
    flat = places.reshape(len(places), -1)
    return flat[np.arange(len(flat)), random.integers(flat.shape[1], size=len(flat))]

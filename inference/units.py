"""Speeds in the units of the world, learned from a few sequences whose speeds are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ..zoo.config import AbstractConfig
from ..zoo.errors import ConfigError, DataError
from .metrics.arrays import Array, checked
from .metrics.matching import MINIMUM_FRAMES, match_fields, sparse_mean
from .monotone import MonotoneMap

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["SpeedUnits", "describe_speeds"]

_AXES = ("chain", "draw", "sequence", "time", "field")


@dataclass(frozen=True, kw_only=True)
class SpeedUnits(AbstractConfig):
    """What takes inferred speeds to degrees, pixels or log-scale per frame, doubt included.

    Each factor has a field that is matched to it, and draws of a monotone map of that field's
    speed, see `MonotoneMap`. Zero stays zero, so a speed whose spike is in doubt is a mixture of
    zero and of what it is if it is on; quantiles of its draws are credible intervals as ever.

    A map adds to the doubt of a guide and takes nothing from it. A factor that two fields share, as
    when each moves it one way, is known only while its own one moves.

    Example:
        >>> units = SpeedUnits.learn(run.posterior(labelled))  # doctest: +SKIP
        >>> speeds = units.convert(run.posterior(data.test))  # doctest: +SKIP
        >>> describe_speeds(speeds, sequence=3, frame=2)  # doctest: +SKIP
        'sequence 3, frame 2: rotation 19 to 23 degrees per frame, scale still (90%)'

    Attributes:
        variable: Name of the speeds.
        factors: Names of the factors.
        units: Unit of each, "per frame" left out; "" if unknown.
        fields: Label of the field that is matched to each.
        correlation: Size of the correlation of each with its field over all labels, 0 to 1.
        maps: The map of each.
    """

    variable: str
    factors: tuple[str, ...]
    units: tuple[str, ...]
    fields: tuple[str | int, ...]
    correlation: tuple[float, ...]
    maps: tuple[MonotoneMap, ...]

    def check(self) -> None:
        """Refuse attributes of different lengths."""
        for name in ("factors", "units", "fields", "correlation", "maps"):
            fits = len(getattr(self, name)) == len(self.factors) > 0
            self.require(fits, name, "as long as factors, with at least one")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return super().to_dict() | {"maps": [each.to_dict() for each in self.maps]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from what `to_dict` returned.

        Raises:
            ConfigError: It is not of that form.
        """
        maps = values.get("maps") if isinstance(values, Mapping) else None
        if isinstance(maps, Sequence) and not isinstance(maps, str):
            values = {**values, "maps": tuple(map(MonotoneMap.from_dict, maps))}
        return super().from_dict(values)

    @classmethod
    def learn(
        cls,
        idata: arviz.InferenceData,
        truth: Mapping[str, Shaped[Array, "sequence time"]] | None = None,
        *,
        sequences: Sequence[int] | None = None,
        units: Mapping[str, str] | None = None,
        variable: str = "speed",
        seed: int = 0,
    ) -> Self:
        """Learn from labelled sequences: sixteen or so, and with fewer intervals get wider.

        Args:
            idata: A posterior with speeds of the axes chain, draw, sequence, time and field, in
                this order and by any name, exactly zero where a field is off. Without an axis of
                time, they are those of whole sequences.
            truth: True speeds by factor, exactly zero where it rests, with the axes of sequences
                and, if the posterior has it, of time. None takes `variable` of `constant_data`,
                whose last axis names the factors.
            sequences: Which sequences of the posterior the truth is of; None for all.
            units: Unit of each factor; None takes what `constant_data` says, if anything.
            variable: Name of the speeds.
            seed: Of the maps' draws.

        Raises:
            ConfigError: A sequence does not exist.
            DataError: There are no speeds or no labels, shapes differ, or a factor never changes or
                has no field.
        """
        speeds, labels = _speeds(idata, variable)
        chosen = _chosen(sequences, speeds.shape[1])
        known, said = _known(idata, variable)
        if truth is None:
            truth = {name: values[chosen] for name, values in known.items()}
        draws = speeds[:, chosen]
        true = _stacked(truth, draws.shape[1:3])
        matching = match_fields(sparse_mean(draws), true)
        maps = []
        for factor, field in enumerate(matching.field_of_factor.tolist()):
            moving = _moving([*truth][factor], field, draws, true[..., factor])
            sign = math.copysign(1, matching.correlation_matrix[factor, field])
            maps.append(
                MonotoneMap.fit(
                    draws[..., field], true[..., factor], moving, sign=sign, seed=seed + factor
                )
            )
        return cls(
            variable=variable,
            factors=tuple(truth),
            units=tuple((said | dict(units or {})).get(name, "") for name in truth),
            fields=tuple(labels[field] for field in matching.field_of_factor),
            correlation=tuple(matching.correlation.tolist()),
            maps=tuple(maps),
        )

    def convert(
        self, idata: arviz.InferenceData, *, seed: int = 0
    ) -> Float[xarray.DataArray, "chain draw sequence time factor"]:
        """Return draws of the world's speeds.

        Args:
            idata: A posterior of the same model and guide.
            seed: Of the scatter.

        Returns:
            Draws of the speed of each `factor`, whose `unit` is a coordinate. There is an axis of
            time if the posterior has one.

        Raises:
            DataError: There are no speeds, or a field is missing.
        """
        import xarray

        speeds, labels = _speeds(idata, self.variable)
        if missing := [field for field in self.fields if field not in labels]:
            raise DataError(
                f"Found the fields {labels}, but {missing} are needed. Give a posterior of the run "
                "that these units were learned from."
            )
        rngs = np.random.default_rng(seed).spawn(len(self.maps))
        world = np.stack(
            [
                each.convert(speeds[..., labels.index(field)], rng)
                for each, field, rng in zip(self.maps, self.fields, rngs, strict=True)
            ],
            -1,
        )
        original = idata["posterior"][self.variable].transpose("chain", "draw", ...)
        axes = original.dims[:-1]
        coords = {axis: original.coords[axis] for axis in axes if axis in original.coords}
        coords |= {"factor": list(self.factors), "unit": ("factor", list(self.units))}
        shape = (*original.shape[:-1], len(self.factors))
        return xarray.DataArray(world.reshape(shape), coords, (*axes, "factor"), name=self.variable)


def describe_speeds(
    speeds: Float[xarray.DataArray, "chain draw sequence time factor"],
    *,
    sequence: int,
    frame: int,
    probability: float = 0.9,
) -> str:
    """Say in words how fast everything moves from a frame to the next.

    Args:
        speeds: What `SpeedUnits.convert` returned.
        sequence: Position of the sequence.
        frame: Position of the transition.
        probability: Of each central credible interval.

    Raises:
        ConfigError: There is no such sequence or frame, or the probability is none.
    """
    _, _, sequences, frames, _ = speeds.shape
    if not (0 <= sequence < sequences and 0 <= frame < frames and 0 < probability < 1):
        raise ConfigError(
            f"Found sequence={sequence}, frame={frame} and probability={probability}, but a "
            f"sequence below {sequences}, a frame below {frames} and a probability strictly "
            "between 0 and 1 are needed."
        )
    draws = speeds.values[:, :, sequence, frame].reshape(-1, speeds.shape[-1])
    ends = np.quantile(draws, (0.5 - probability / 2, 0.5 + probability / 2), axis=0).T
    names, units = speeds["factor"].values, speeds["unit"].values
    said = (_in_words(*parts) for parts in zip(names, units, *ends.T, strict=True))
    return f"sequence {sequence}, frame {frame}: {', '.join(said)} ({probability:.0%})"


def _in_words(factor: str, unit: str, low: float, high: float) -> str:
    if low == high == 0:
        return f"{factor} still"
    # Rounded to a third of the width at most: what is left out is less than what is in doubt.
    digits = max(0, math.ceil(-math.log10((high - low) / 3))) if high > low else 3
    first, *rest = unit.split(" ")
    plural = first if first == "" or "-" in first else f"{first}s"
    per_frame = " ".join((plural, *rest, "per frame")).strip()
    return f"{factor} {low:.{digits}f} to {high:.{digits}f} {per_frame}"


def _speeds(
    idata: arviz.InferenceData, variable: str
) -> tuple[Float[np.ndarray, "draw sequence time field"], list[str | int]]:
    """Return all draws of the speeds, and the labels of their fields."""
    found = idata["posterior"].data_vars if "posterior" in idata else {}
    if variable not in found:
        raise DataError(
            f"Found no {variable!r} in the posterior, but {', '.join(map(str, found))}."
        )
    speeds = found[variable].transpose("chain", "draw", ...)
    steady = speeds.ndim == len(_AXES) - 1
    values = speeds.values[..., None, :] if steady else speeds.values
    draws = checked(values, f"draws of {variable}", _AXES)
    return draws.reshape(-1, *draws.shape[2:]), speeds[speeds.dims[-1]].values.tolist()


def _chosen(sequences: Sequence[int] | None, count: int) -> list[int]:
    chosen = list(range(count) if sequences is None else sequences)
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise ConfigError(
            f"Found sequences={chosen}, but one or more from 0 to {count - 1} are needed."
        )
    return chosen


def _stacked(
    truth: Mapping[str, Shaped[Array, "sequence time"]], shape: tuple[int, ...]
) -> Float[np.ndarray, "sequence time factor"]:
    if not truth:
        raise DataError("Found no truth to learn from. Give the speed of at least one factor.")
    true = []
    for name, values in truth.items():
        each = checked(values, f"true speed of {name}", ("...",))
        each = each[:, None] if each.ndim == 1 and shape[1] == 1 else each
        true.append(checked(each, f"true speed of {name}", ("sequence", "time")))
    if any(each.shape != shape for each in true):
        raise DataError(
            f"Found true speeds of the shapes {sorted({each.shape for each in true})}, but {shape} "
            "is needed: the labelled sequences, and the transitions of the posterior."
        )
    return np.stack(true, -1)


def _known(
    idata: arviz.InferenceData, variable: str
) -> tuple[dict[str, Float[np.ndarray, "sequence time"]], dict[str, str]]:
    """Return the true speeds that came with the data, and their units, by factor."""
    if "constant_data" not in idata or variable not in idata["constant_data"]:
        return {}, {}
    truth = idata["constant_data"]
    speeds = truth[variable]
    names = [str(name) for name in speeds[speeds.dims[-1]].values]
    units = [str(unit) for unit in truth["unit"].values] if "unit" in truth else [""] * len(names)
    by_factor = np.moveaxis(speeds.values, -1, 0)
    return dict(zip(names, by_factor, strict=True)), dict(zip(names, units, strict=True))


def _moving(
    factor: str,
    field: int,
    draws: Float[np.ndarray, "draw sequence time field"],
    true: Float[np.ndarray, "sequence time"],
) -> Bool[np.ndarray, "sequence time"]:
    """Return in which frames a factor and its field move: those that a map is learned from."""
    if np.ptp(true) == 0:
        raise DataError(
            f"The labels of {factor!r} are all {true.flat[0]:g}, which says nothing about speeds. "
            "Label sequences in which it moves at some times and rests at others."
        )
    if field < 0:
        raise DataError(
            f"{factor!r} has no field: there are more factors than fields. Leave out of `truth` "
            "what the model does not know."
        )
    always = (draws[..., field] != 0).all()  # no sparse speeds: then rest is a speed as any other
    moving = (sparse_mean(draws[..., field]) != 0) & (always | (true != 0))
    if moving.sum() < MINIMUM_FRAMES:
        raise DataError(
            f"{factor!r} has no field: the nearest one moves with it in {moving.sum()} frames, but "
            f"at least {MINIMUM_FRAMES} are needed. Label more sequences, or leave it out."
        )
    return moving

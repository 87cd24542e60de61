"""What a panel of speeds shows: one factor in a unit of its own."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from ..metrics.matching import Matching, match_fields, sparse_mean
from ..units import SpeedUnits
from .style import group

if TYPE_CHECKING:
    import arviz
    import xarray

__all__ = ["SpeedPanel", "converted_panels", "scaled_panels"]


class SpeedPanel(NamedTuple):
    """The speed of one factor, None where it is not known."""

    title: str
    unit: str
    draws: Float[np.ndarray, "draw sequence time"] | None
    truth: Float[np.ndarray, "sequence time"] | None


def scaled_panels(
    idata: "arviz.InferenceData", variable: str, matching: Matching | None
) -> list[SpeedPanel]:
    """Return every factor with its field, multiplied by the number that fits the truth best.

    Raises:
        DataError: The posterior or the truth is missing.
    """
    draws, truth = _draws(group(idata, "posterior", variable)), _truth(idata, variable)
    if matching is None:
        matching = match_fields(sparse_mean(draws.values), np.stack([*truth.values()], -1))
    panels = []
    for factor, (name, true) in enumerate(truth.items()):
        field, scale = int(matching.field_of_factor[factor]), float(matching.scale[factor])
        label = str(draws[draws.dims[-1]].values[field]) if field >= 0 else "no field"
        panels.append(
            SpeedPanel(
                f"{name}: {label}, r = {matching.correlation[factor]:.2f}",
                f"{_per_frame(_unit(idata, name))}\n({label} \N{MULTIPLICATION SIGN} {scale:.3g})",
                scale * draws.values[..., field] if field >= 0 else None,
                true,
            )
        )
    return panels


def converted_panels(idata: "arviz.InferenceData", units: SpeedUnits) -> list[SpeedPanel]:
    """Return every factor in the units of the world, with its truth where that is known.

    Raises:
        DataError: The posterior is missing.
    """
    draws = _draws(units.convert(idata)).values
    known = "constant_data" in idata and units.variable in idata["constant_data"]
    truth = _truth(idata, units.variable) if known else {}
    about = zip(units.factors, units.fields, units.units, strict=True)
    return [
        SpeedPanel(f"{name}: {field}", _per_frame(unit), draws[..., factor], truth.get(name))
        for factor, (name, field, unit) in enumerate(about)
    ]


def _draws(speeds: "xarray.DataArray") -> "xarray.DataArray":
    stacked = speeds.stack(sample=("chain", "draw"), create_index=False)
    return stacked.transpose("sample", ...)


def _truth(
    idata: "arviz.InferenceData", variable: str
) -> dict[str, Float[np.ndarray, "sequence time"]]:
    speeds = group(idata, "constant_data", variable)
    names = map(str, speeds[speeds.dims[-1]].values)
    return dict(zip(names, np.moveaxis(speeds.values, -1, 0), strict=True))


def _unit(idata: "arviz.InferenceData", factor: str) -> str:
    units = idata["constant_data"].get("unit")
    return "" if units is None else str(units.sel(factor=factor).item())


def _per_frame(unit: str) -> str:
    return f"{unit} per frame" if unit else "speed"

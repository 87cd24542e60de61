"""Variables of an `InferenceData` as the diagnostics take them: all draws along one axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped
from xarray import DataArray

from ...zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    import arviz

__all__ = [
    "DRAW",
    "as_draws",
    "labelled_axes",
    "names_in",
    "observed",
    "quantities",
    "require_axes",
    "variable",
]

DRAW = "draw"


def names_in(idata: arviz.InferenceData, group: str) -> list[str]:
    """Return the names of the variables of a group; none if there is no such group."""
    return [str(name) for name in idata[group].data_vars] if group in idata else []


def variable(idata: arviz.InferenceData, group: str, name: str) -> Shaped[DataArray, "draw ..."]:
    """Return a variable with its chains one after the other.

    Raises:
        DataError: There is no such variable, or no such group.
    """
    if name not in names_in(idata, group):
        raise DataError(
            f"Found no {name!r} in the group {group!r}, but {names_in(idata, group)}. Make it with "
            f"`posterior(..., groups=...)`, {group!r} among them, or name another variable."
        )
    return as_draws(idata[group][name])


def observed(idata: arviz.InferenceData, name: str) -> Shaped[DataArray, "*axes"]:
    """Return what the data fix.

    Raises:
        DataError: There is no such variable.
    """
    if name not in names_in(idata, "observed_data"):
        raise DataError(
            f"Found no {name!r} in the group 'observed_data', but "
            f"{names_in(idata, 'observed_data')}. Ask `posterior` for that group."
        )
    found: DataArray = idata["observed_data"][name]
    return found


def as_draws(values: Shaped[DataArray | np.ndarray, "*axes"]) -> Shaped[DataArray, "draw ..."]:
    """Return an array whose first axis is called `draw`, and holds those of all chains.

    Args:
        values: With the axes `chain` and `draw`, or `draw` alone, if axes have names; else the
            first axis is that of draws, and the others get the names `axis_0`, `axis_1`, ….

    Raises:
        DataError: It has no draws.
    """
    if not isinstance(values, DataArray):
        values = np.asarray(values)
        values = DataArray(values, dims=(DRAW, *(f"axis_{k}" for k in range(values.ndim - 1))))
    if DRAW not in values.dims or values.sizes[DRAW] == 0:
        raise DataError(f"Found axes {values.dims}, but one called 'draw' with draws is needed.")
    chains = [axis for axis in ("chain",) if axis in values.dims]
    moved = values.transpose(*chains, DRAW, ...)
    axes = moved.dims[len(chains) + 1 :]
    return DataArray(
        moved.values.reshape(-1, *moved.shape[len(chains) + 1 :]),
        dims=(DRAW, *axes),
        coords={axis: values.coords[axis] for axis in axes if axis in values.coords},
    )


def labelled_axes(values: Shaped[DataArray, "*axes"]) -> tuple[str, ...]:
    """Return the axes whose positions have names, not just numbers."""
    return tuple(str(axis) for axis in values.dims if values[axis].dtype.kind in "UOT")


def require_axes(
    by: Sequence[str] | None, arrays: Iterable[Shaped[DataArray, "*axes"]], datum: str
) -> None:
    """Refuse to tell positions apart along an axis that no array has, or that of draws or data.

    Raises:
        ConfigError: There is such an axis.
    """
    known = {str(axis) for values in arrays for axis in values.dims} - {DRAW, datum}
    if by is not None and not known >= {*by}:
        raise ConfigError(
            f"Found by={by!r}, but axes out of {sorted(known)} are needed. Draws and data are "
            "always taken together."
        )


def quantities(
    name: str, values: Shaped[DataArray, "*axes"], by: Sequence[str] | None
) -> Iterator[tuple[str, Shaped[DataArray, "*axes"]]]:
    """Yield each part of a variable that is looked at by itself, after what it is called.

    Args:
        name: Of the variable.
        values: It has an axis of data or draws first.
        by: Axes along which every position is a part by itself; those with labels by default.
    """
    own = [axis for axis in (labelled_axes(values) if by is None else by) if axis in values.dims]
    for where in itertools.product(*(range(values.sizes[axis]) for axis in own)):
        label = ", ".join(_label(values, axis, k) for axis, k in zip(own, where, strict=True))
        part = values.isel(dict(zip(own, where, strict=True)), drop=True)
        yield (f"{name}[{label}]" if own else name), part


def _label(values: Any, axis: str, position: int) -> str:  # noqa: ANN401
    if axis in labelled_axes(values):
        return str(values[axis].values[position])
    return f"{axis} {position}"

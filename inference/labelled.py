"""Arrays with named axes, and the ArviZ groups made of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import arviz

__all__ = ["Group", "Labelled", "joined", "to_arviz", "truth_group"]


class Labelled(NamedTuple):
    """An array with the names of its axes, those of draws left out."""

    axes: tuple[str, ...]
    values: np.ndarray


Group = dict[str, Labelled]
_TRUTH_AXES = {
    "spike": ("time", "factor"),
    "speed": ("time", "factor"),
    "multiplier": ("time", "factor"),
    "pose": ("frame", "factor"),
}


def joined(parts: list[Labelled], axis: int) -> Labelled:
    """Return arrays of the same axes, one after the other along one of them."""
    return Labelled(parts[0].axes, np.concatenate([part.values for part in parts], axis))


def truth_group(truth: object, batch_axis: str) -> tuple[Group, dict[str, list[str]]]:
    """Return what made the data, where that is known, and the names of the factors."""
    found: Group = {}
    for name, axes in _TRUTH_AXES.items():
        value = truth.get(name) if isinstance(truth, Mapping) else getattr(truth, name, None)
        if isinstance(value, Tensor) and value.ndim == 1 + len(axes):
            found[name] = Labelled((batch_axis, *axes), value.cpu().numpy())
    factors = list(getattr(truth, "factors", ()))
    if not found or not factors:
        return found, {}
    units = getattr(truth, "units", {})
    found["unit"] = Labelled(("factor",), np.array([units.get(name, "") for name in factors]))
    return found, {"factor": factors}


def to_arviz(
    groups: Mapping[str, Group],
    coords: Mapping[str, list[str]],
    attributes: Mapping[str, object],
) -> "arviz.InferenceData":
    """Return labelled groups as ArviZ holds them: the only place that knows its interface."""
    import arviz

    parts: list[arviz.InferenceData] = []
    for group, variables in groups.items():
        if not variables:
            continue
        one_chain = group == "posterior"
        arrays = {n: v.values[None] if one_chain else v.values for n, v in variables.items()}
        axes = {name: list(labelled.axes) for name, labelled in variables.items()}
        only: dict[str, Any] = {group: arrays}
        parts.append(arviz.from_dict(**only, dims=axes, coords=dict(coords)))
    idata = arviz.concat(*parts, copy=False, inplace=False)
    idata.attrs.update(attributes)
    return idata

"""What a model and its guide draw, as arrays whose axes have the model's names."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..zoo.errors import ConfigError, DataError
from .coordinates import mask_of
from .labelled import Coords, Group, Labelled, labels_of
from .metrics.spikes import has_slab, is_sparse, spike_and_slab
from .sampler import Draws, Sampler

__all__ = ["Groups", "truth_group"]

_DRAWS = ("chain", "draw")


class Groups:
    """Turns draws into groups, with axes named by the model's `dims`.

    A model without any `dims` gets ArviZ's names, `<site>_dim_0` and so on, and `datum` for the
    axis of the data. `pyro.factor` statements are no variables.

    Args:
        model: The model.
        sampler: What draws from it and from its guide.

    Attributes:
        datum: Name of the axis of the data.
        coords: Labels of the other axes that have some.

    Raises:
        ConfigError: `dims` leaves out a site or one of its axes, or uses a name twice; or `coords`
            has more or fewer labels than an axis has positions.
    """

    def __init__(self, model: nn.Module, sampler: Sampler) -> None:
        self._sampler = sampler
        dims: Mapping[str, tuple[str, ...]] = getattr(model, "dims", {})
        self._axes: dict[str, tuple[str, ...]] = {}
        for name, shape in sampler.shapes.items():
            axes = dims.get(name) if dims else _generic(name, len(shape), sampler.row_axis[name])
            if axes is None or len(axes) != len(shape):
                raise ConfigError(
                    f"Site {name!r} has {len(shape)} axes, but `model.dims` says {axes}. Name "
                    "each axis of the site there, that of the data first."
                )
            self._axes[name] = tuple(axes)
        self.datum = self._name_of_data()
        self.coords: dict[str, Sequence[str]] = {
            n: x for n, x in getattr(model, "coords", {}).items() if n != self.datum
        }
        taken = {axis for axes in self._axes.values() for axis in axes} | {*_DRAWS}
        for name, axes in self._axes.items():
            if name in taken or len({*axes, *_DRAWS}) < len(axes) + len(_DRAWS):
                raise ConfigError(
                    f"Site {name!r} has the axes {axes}, but sites, their axes, 'chain' and 'draw' "
                    "all need names of their own. Rename in the model and in `model.dims`."
                )
            labels_of(dict(zip(axes, sampler.shapes[name], strict=True)), self.coords)

    def _name_of_data(self) -> str:
        rows = self._sampler.row_axis
        names = {
            name: axes[row] for name, axes in self._axes.items() if (row := rows[name]) is not None
        }
        if len(set(names.values())) != 1:
            raise ConfigError(
                f"The axis of the data has several names in `model.dims`: {names}. Choose one."
            )
        return next(iter(names.values()))

    def drawn(self, draws: Draws, particles: int) -> Group:
        """Return latent and deterministic sites, and the spikes and slabs of sparse ones."""
        values = {
            name: site["value"] for name, site in (draws.latent | draws.deterministic).items()
        }
        found = {name: self._draws(name, value, particles) for name, value in values.items()}
        sparse = [name for name, site in draws.latent.items() if is_sparse(site["fn"])]
        for name in sparse:
            prefix, value = "" if sparse == ["speed"] else f"{name}_", values[name]
            spike = (value != 0).to(value.dtype)
            found[f"{prefix}spike"] = self._draws(name, spike, particles)
            if has_slab(prior := draws.latent[name]["fn"]):
                slab = spike_and_slab(value, prior)[1]
                found[f"{prefix}slab"] = self._draws(name, slab, particles)
        return found

    def predicted(self, sites: Mapping[str, Any], particles: int) -> Group:
        """Return the values of observed sites that were drawn anew."""
        return {name: self._draws(name, site["value"], particles) for name, site in sites.items()}

    def observed(self, draws: Draws) -> Group:
        """Return what the data fix; NaN is what a mask inside a law leaves out in all draws."""
        found = {}
        for name, site in draws.observed.items():
            value, axes = site["value"], len(self._axes[name])
            value = value[(0,) * (value.ndim - axes)]
            if (counted := mask_of(site["fn"])) is not None:
                own = counted.shape[max(counted.ndim - axes, 0) :]
                counted = counted.reshape(-1, *own).any(0)
                value = value if value.is_floating_point() else value.double()
                value = torch.where(counted.to(value.device), value, torch.nan)
            found[name] = Labelled(self._axes[name], _as_numpy(value))
        return found

    def per_datum(self, values: Mapping[str, Float[Tensor, "particle datum"]]) -> Group:
        """Return numbers of each datum and draw."""
        axes = (*_DRAWS, self.datum)
        return {name: Labelled(axes, _as_numpy(value)[None]) for name, value in values.items()}

    def _draws(self, name: str, value: Tensor, particles: int) -> Labelled:
        values = self._sampler.values(name, value, particles)
        return Labelled((*_DRAWS, *self._axes[name]), _as_numpy(values)[None])


def truth_group(truth: object, datum: str, count: int) -> tuple[Group, Coords]:
    """Return what made the data, where that is known, and the names of its factors.

    Every tensor whose first axis is that of the data is taken. The truth may name the axes of each
    in `dims`, that of the data first, what is along an axis called `factor` in `factors`, and the
    units of these in `units`; without, axes are called `<name>_dim_0` and so on.

    Args:
        truth: A mapping, or an object with attributes; None if nothing is known.
        datum: Name of the axis of the data.
        count: Number of data.

    Raises:
        DataError: `dims` names more or fewer axes than there are, or a tensor is called like one.
    """
    known = truth if isinstance(truth, Mapping) else getattr(truth, "__dict__", {})
    said = {n: known.get(n, getattr(truth, n, {})) for n in ("dims", "factors", "units")}
    found: Group = {}
    for name, value in known.items():
        if not isinstance(value, Tensor | np.ndarray) or value.shape[:1] != (count,):
            continue
        axes = said["dims"].get(name) or _generic(name, value.ndim, 0)
        if len(axes) != value.ndim:
            raise DataError(
                f"{name!r} of the truth has {value.ndim} axes, but its `dims` say {axes}. Name "
                "each of them, that of the data first."
            )
        values = _as_numpy(value) if isinstance(value, Tensor) else value
        found[name] = Labelled((datum, *axes[1:]), values)
    taken = {axis for axes, _ in found.values() for axis in axes}
    if taken & found.keys():
        raise DataError(
            f"The truth has tensors and axes called {sorted(taken & found.keys())}. Rename the "
            "tensors, or the axes in its `dims`."
        )
    if not said["factors"] or "factor" not in taken:
        return found, {}
    names = list(said["factors"])
    units = np.array([said["units"].get(name, "") for name in names])
    return found | {"unit": Labelled(("factor",), units)}, {"factor": names}


def _generic(name: str, axes: int, row: int | None) -> tuple[str, ...]:
    """Return the names that ArviZ gives to axes without any."""
    others = itertools.count()
    return tuple("datum" if k == row else f"{name}_dim_{next(others)}" for k in range(axes))


def _as_numpy(tensor: Tensor) -> np.ndarray:
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.cpu().numpy()

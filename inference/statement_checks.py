"""What is wrong with a single sample statement, or with a guide's answer to one of the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..zoo.errors import ConfigError, DataError
from .elbo import is_observed
from .metrics.particles import log_density
from .statements import (
    Statement,
    event_axes,
    family_of,
    peeled,
    shown,
    support_name,
    support_of,
    to_event,
)

__all__ = ["PLATE", "check_density", "check_shapes", "check_support"]

PLATE = "`pyro.plate(name, size or count, subsample=torch.arange(count), dim={})`"


def check_shapes(drawn: Statement, site: Statement) -> None:
    """Raise `ConfigError` unless a guide's statement has the shapes of the model's."""
    found, expected = drawn["fn"], site["fn"]
    if (found.batch_shape, found.event_shape) == (expected.batch_shape, expected.event_shape):
        return
    joined = len(expected.event_shape) - len(found.event_shape)
    plates = [{frame.name for frame in each["cond_indep_stack"]} for each in (drawn, site)]
    if lacking := plates[0] ^ plates[1]:
        advice = f"Open the plate {min(lacking)!r} around it in both"
    elif joined > 0:
        advice = f"Write {to_event(found, joined)} in the guide"
    elif joined < 0:
        advice = f"Write {to_event(expected, -joined)} in the model"
    else:
        advice = "Give both the same sizes"
    raise ConfigError(f"The guide has {shown(drawn)}, but the model {shown(site)}. {advice}.")


def check_support(drawn: Statement, site: Statement) -> None:
    """Raise `ConfigError` if a guide draws what is impossible under the model."""
    support = support_of(site["fn"])
    many = torch.Size([1 + 1000 // max(1, drawn["value"].numel())])  # a thousand numbers or more
    draws = drawn["value"], drawn["fn"](many)
    if support is None or all(bool(support.check(draw).all()) for draw in draws):
        return
    found, family, named = family_of(drawn["fn"]), family_of(site["fn"]), support_name(site["fn"])
    other = "" if support.is_discrete else ", or a Normal transformed by `biject_to(support)`"
    raise ConfigError(
        f"Site {site['name']!r}: the guide's {found} leaves the support {named} of the model's "
        f"{family}, where the ELBO is minus infinity. Draw from a {family}{other}."
    )


def check_density(part: str, site: Statement, rows: int) -> None:
    """Check that the density of a statement is finite, weighed by plates and has a gradient.

    Args:
        part: Name of the program.
        site: One of its random variables.
        rows: Number of data in the batch.

    Raises:
        ConfigError: It is not.
        DataError: The value is one of the data, and impossible.
    """
    family, log_prob = family_of(site["fn"]), _log_density(part, site)
    _check_covered(part, site, tuple(log_prob.shape), rows)
    if bad := int((~torch.isfinite(log_prob)).sum()):
        raise ConfigError(
            f"The {part}'s {shown(site)}: {bad} of {log_prob.numel()} log-densities under its "
            f"{family} are NaN or infinite at the first draw. Look at its parameters and values."
        )
    reparameterised = site["fn"].has_rsample or hasattr(peeled(site["fn"]), "proposals")
    if part == "guide" and log_prob.requires_grad and not reparameterised:
        raise ConfigError(
            f"The guide draws {site['name']!r} from {family}, which is not reparameterised: its "
            "gradient would be silently wrong. Relax it, sum it out, or use one with `proposals`."
        )


def _log_density(part: str, site: Statement) -> Tensor:
    try:
        return log_density(site)
    except (ValueError, RuntimeError) as error:
        fn, value = site["fn"], site["value"]
        raise (DataError if is_observed(site) else ConfigError)(
            f"The {part}'s {shown(site)}: its {family_of(fn)} on {support_name(fn)} takes no "
            f"values of shape {tuple(value.shape)} from {value.min():.3g} to {value.max():.3g}. "
            "Reshape or transform them, or choose another distribution."
        ) from error


def _check_covered(part: str, site: Statement, shape: tuple[int, ...], rows: int) -> None:
    plates = {f.dim: f.size for f in site["cond_indep_stack"] if f.dim is not None}
    bare = [k for k in range(-1, -len(shape) - 1, -1) if shape[k] > 1 and k not in plates]
    if bare:
        axis = min((k for k in bare if shape[k] == rows), default=bare[0])
        raise ConfigError(
            f"The {part}'s {shown(site)}: no plate covers axis {axis} of its log-density, whose "
            f"shape is {shape}. {_cover(site['fn'], shape, axis, plates, rows)}"
        )


def _cover(
    fn: Statement, shape: Sequence[int], axis: int, plates: dict[int, int], rows: int
) -> str:
    """Return what to do about an axis without a plate, by what it may be."""
    length, cases = shape[axis], []
    if joined := event_axes(shape, dict.fromkeys(range(-len(shape), 0), 1) | plates):
        cases = [f"part of the event, write {to_event(fn, joined)}"]
    if length == rows and rows not in plates.values():
        after = 0 if any(dim > axis for dim in plates) else -1 - axis  # axes that follow the rows
        first = f"write {to_event(fn, after)} and " if after else ""
        cases.insert(0, f"that of the {rows} rows, {first}open {PLATE.format(axis + after)}")
    else:
        cases.append(f"that of {length} independent things, open a plate of them")
    return f"If it is {'; if it is '.join(cases)}."

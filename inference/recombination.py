"""Recombination: images whose blocks come from different ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from pyro import poutine
from torch import Tensor, nn

from ..zoo.errors import ConfigError, DataError
from .conditioned import axes_of, observed_mean
from .elbo import is_latent
from .metrics.particles import check_batch, evaluation

__all__ = ["recombine"]


def recombine(
    model: nn.Module,
    guide: nn.Module,
    donors: Sequence[Mapping[str, Tensor]],
    *,
    variable: str = "z",
    axis: str = "block",
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
) -> Float[Tensor, "datum ..."]:
    """Return the mean of what is observed, with each block inferred from data of its own.

    Blocks are the means of the guide's posteriors. For pictures that no training data show, only
    the model has to go beyond these, not the guide: each donor may be an ordinary one.

    Args:
        model: A Pyro model with `dims` and a single observed site.
        guide: Its guide.
        donors: Observed tensors by name for each block, in the order of the model; as many data in
            each. Of the first, all other latents are taken too.
        variable: Latent site that has blocks.
        axis: Name of the axis of the blocks.
        bounds: Least and largest value that data can have, such as (0, 1) of pixels. Recombinations
            that leave them, by more than a tenth of what lies between, are refused: data in which
            objects hide each other are no sums.
        seed: Of latents whose posteriors have no mean.

    Raises:
        ConfigError: The site is unknown or has no such axis, there are more or fewer donors than
            blocks, or several sites are observed.
        DataError: Donors have no data, different numbers of them, or some that are not finite; or
            what they give leaves the bounds.
    """
    axes = axes_of(model)
    if axis not in axes.get(variable, ()):
        raise ConfigError(
            f"Found no latent {variable!r} with an axis {axis!r} in the `dims` of "
            f"{type(model).__name__}: {dict(axes)}. Name one that has it."
        )
    if not donors:
        raise ConfigError(f"Found 0 donors. Give one for each block of {variable!r}.")
    place = axes[variable].index(axis)
    with evaluation(model, guide, seed=seed):
        batches = [check_batch(donor, model) for donor in donors]
        inferred = [_means(guide, batch) for batch in batches]
        blocks = inferred[0][variable].shape[place]
        counts = {len(each[variable]) for each in inferred}
        if blocks != len(donors):
            raise ConfigError(
                f"Found {len(donors)} donors, but {blocks} blocks of {variable!r}. Give one for "
                "each block."
            )
        if len(counts) > 1:
            raise DataError(f"Found donors of {sorted(counts)} data. Give as many in each.")
        parts = [each[variable].select(place, k) for k, each in enumerate(inferred)]
        values = inferred[0] | {variable: torch.stack(parts, place)}
        mean = observed_mean(model, values, batches[0])
    if bounds is not None:
        _check_bounds(mean, *bounds)
    return mean


def _means(guide: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    sites: Any = poutine.trace(guide).get_trace(**batch).nodes
    return {name: _mean(site) for name, site in sites.items() if is_latent(site)}


def _mean(site: Mapping[str, Any]) -> Tensor:
    value: Tensor = site["value"]
    try:
        mean: Tensor = site["fn"].mean
    except NotImplementedError:
        return value
    return mean.expand_as(value)


def _check_bounds(found: Tensor, low: float, high: float) -> None:
    slack = 0.1 * (high - low)
    above, below = int((found > high + slack).sum()), int((found < low - slack).sum())
    if above + below:
        raise DataError(
            f"Of {found.numel()} recombined values, {above} are above {high:g} and {below} below "
            f"{low:g}, by {slack:g} or more: these data cannot be sums of these blocks. Use data "
            "whose parts do not hide each other, or train for longer."
        )

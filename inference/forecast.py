"""Forecasts: infer motion from the first frames, let it go on as it is, and decode what comes."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from pyro import poutine
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from .metrics.particles import evaluation

__all__ = ["forecast"]


def forecast(
    model: nn.Module,
    guide: nn.Module,
    images: Float[Tensor, "sequence frame channel height width"],
    *,
    seen: int,
    seed: int = 0,
) -> Float[Tensor, "sequence frame channel height width"]:
    """Return the mean image of every frame, inferred from the first `seen` frames only.

    Latent sites with a `time` axis keep their last inferred value for the frames to come, so that
    whatever moved goes on moving at its speed.

    Args:
        model: A Pyro model of image sequences with `dims`.
        guide: Its guide.
        images: Sequences; those after `seen` give no more than the length.
        seen: Number of frames that are looked at.
        seed: Of the guide's draw.

    Raises:
        ConfigError: `seen` leaves no transition to infer from, or the model has no latent in time.
    """
    frames = images.shape[1]
    if not 2 <= seen <= frames:
        raise ConfigError(f"seen={seen}, but 2 to {frames} frames of these sequences can be seen.")
    dims: Mapping[str, tuple[str, ...]] = getattr(model, "dims", {})
    with evaluation(model, guide, seed=seed):
        drawn: Any = poutine.trace(guide).get_trace(images=images[:, :seen])
        values = {
            name: _held(site["value"], dims[name], frames - 1)
            for name, site in drawn.nodes.items()
            if name in dims and site["type"] == "sample"
        }
        if not any("time" in dims[name] for name in values):
            raise ConfigError(f"{type(model).__name__} has no latent site with a `time` axis.")
        sites: Any = poutine.trace(poutine.condition(model, values)).get_trace(images=images)
        mean: Tensor = sites.nodes["images"]["fn"].mean
        return mean


def _held(value: Tensor, axes: tuple[str, ...], length: int) -> Tensor:
    """Repeat the last value along the `time` axis up to `length`."""
    if "time" not in axes:
        return value
    axis = axes.index("time") - len(axes)
    last = value.narrow(axis, -1, 1)
    missing = length - value.shape[axis]
    return torch.cat([value, *[last] * missing], axis)

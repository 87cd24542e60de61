"""Orbits: what each element of a group makes of what the first frame shows."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from .conditioned import axes_of, drawn_latents, observed_mean
from .metrics.particles import check_batch, evaluation

__all__ = ["walk_orbit"]


def walk_orbit(
    model: nn.Module,
    guide: nn.Module,
    images: Float[Tensor, "sequence frame channel height width"],
    *,
    variable: str = "transformation",
    seed: int = 0,
) -> Float[Tensor, "sequence element channel height width"]:
    """Return the mean image of the second frame, had each element acted in turn.

    All other latents are as the guide draws them from the images.

    Args:
        model: A Pyro model of image sequences with `dims`, in which one of a few elements acts.
        guide: Its guide.
        images: Sequences to set out from.
        variable: The latent site of what acts, whose axes are those of data and elements, with
            time in between where that may change.
        seed: Of the guide's draw.

    Raises:
        ConfigError: There is no such site.
        DataError: There are no sequences, or some are not finite.
    """
    axes = axes_of(model)
    if len(axes.get(variable, ())) not in (2, 3):
        raise ConfigError(
            f"Found the latents { {**axes} } of {type(model).__name__}, but {variable!r} with two "
            "or three axes is needed: those of data, of time perhaps, and of elements."
        )
    with evaluation(model, guide, seed=seed):
        images = check_batch({"images": images}, model)["images"]
        values = drawn_latents(model, guide, {"images": images})
        count = values[variable].shape[-1]
        repeated = {name: value.repeat_interleave(count, 0) for name, value in values.items()}
        every = torch.eye(count).to(images).repeat(len(images), 1)
        if len(axes[variable]) == 3:
            every = every.unsqueeze(1)
        repeated[variable] = every.expand_as(repeated[variable])
        many = images.repeat_interleave(count, 0)
        mean = observed_mean(model, repeated, {"images": many})[:, 1]
    return mean.unflatten(0, (len(images), count))

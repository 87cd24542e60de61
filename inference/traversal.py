"""Traversals: what each field by itself does to what the first frame shows."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..zoo.errors import ConfigError
from .conditioned import axes_of, drawn_latents, observed_mean
from .metrics.particles import check_batch, evaluation

__all__ = ["traverse"]


def traverse(
    model: nn.Module,
    guide: nn.Module,
    images: Float[Tensor, "sequence frame channel height width"],
    *,
    speeds: Sequence[float] = (-1.0, -0.5, 0.5, 1.0),
    variable: str = "speed",
    seed: int = 0,
) -> Float[Tensor, "sequence field speed frame channel height width"]:
    """Return the mean images of sequences in which one field moves, at a constant speed.

    All other latents are as the guide draws them from the images.

    Args:
        model: A Pyro model of image sequences with `dims`.
        guide: Its guide.
        images: Sequences to set out from.
        speeds: Speeds to move at, each for a whole sequence.
        variable: The latent site of the speeds, whose axes are those of data, time and fields.
        seed: Of the guide's draw.

    Raises:
        ConfigError: There is no such site, or no speed.
        DataError: There are no sequences, or some are not finite.
    """
    axes = axes_of(model)
    if len(axes.get(variable, ())) != 3 or not len(speeds):
        raise ConfigError(
            f"Found speeds={list(speeds)} and the latents { {**axes} } of {type(model).__name__}, "
            f"but one speed or more and {variable!r} with three axes are needed: those of data, "
            "time and fields."
        )
    with evaluation(model, guide, seed=seed):
        images = check_batch({"images": images}, model)["images"]
        batch = {"images": images}
        values = drawn_latents(model, guide, batch)
        fields = values[variable].shape[-1]
        frames = []
        for field in range(fields):
            for speed in speeds:
                alone = torch.zeros_like(values[variable])
                alone[..., field] = speed
                frames.append(observed_mean(model, {**values, variable: alone}, batch))
    return torch.stack(frames, 1).unflatten(1, (fields, len(speeds)))

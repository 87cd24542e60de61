"""Codes of data in the latents of a flow that explain most, with error bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from .metrics.particles import evaluation
from .posterior import posterior
from .run import Run

if TYPE_CHECKING:
    import arviz

__all__ = ["OrdersLatents", "draw_codes"]

_MOST = 64  # latents, and data too where there are many latents
_MANY = 256
_VALUES = 2**18  # of all data, where there are many latents
_GROUPS = ("posterior", "sample_stats", "observed_data")


@runtime_checkable
class OrdersLatents(Protocol):
    """What reports of ordered latents need of a model, see `EntropyOrderedFlow`."""

    entropy: Tensor
    spread: float

    def noisy(self, x: Tensor) -> Tensor:
        """Return data with the noise of training added."""

    def measure(self, x: Tensor, *, probes: int = 0) -> Tensor:
        """Compute the explained entropies on data."""

    def noise_floor(self, noise: float | None = None) -> float:
        """Return the entropy of one direction of noise."""

    def core_above(self, entropy: float) -> int:
        """Return how many latents explain more."""

    def compress(self, x: Tensor, core: int) -> Tensor:
        """Return the latents that explain most."""

    def decompress(self, code: Tensor) -> Tensor:
        """Return the data that a code stands for."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log-densities."""


def draw_codes(
    run: Run,
    split: Any,  # noqa: ANN401 - a split of still images
    *,
    core: int | None = None,
    draws: int,
    seed: int,
    out: Path,
    progress: bool = True,
) -> arviz.InferenceData:
    """Draw the posterior of the core of each datum, and write it to a file.

    The noise around a core is what it leaves of the data, or that of training if this is more. Of
    flows with more than 256 latents, 64 data are looked at, or fewer if they are large.

    Args:
        run: A run whose entropies have been measured.
        split: The data.
        core: Number of latents; None takes those above the noise floor, up to 64.
        draws: Number of draws of each datum.
        seed: Of the draws.
        out: File or folder to write.
        progress: Show a bar, if there is a terminal.

    Raises:
        ConfigError: There are not so many latents.
    """
    model, guide = cast(Any, run.model), cast(Any, run.guide)
    count = min(_MOST, model.core_above(model.noise_floor())) if core is None else core
    dim = len(model.entropy)
    some = split if dim <= _MANY else split.first(max(1, min(_MOST, _VALUES // dim)))
    x = split.batch(torch.arange(min(len(split), 256)))["x"]
    with evaluation(model, seed=seed):
        left = model.decompress(model.compress(x, count)) - x
    local = guide.core_guide(count, noise=max(model.spread, float(left.square().mean().sqrt())))
    return posterior(
        local.model,
        local,
        some,
        draws=draws,
        seed=seed,
        groups=_GROUPS,
        out=out,
        progress=progress,
    )

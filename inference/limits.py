"""What cannot be trained: said before the first step, or when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyro
import torch
from torch import Tensor, nn

from ..zoo.errors import ConfigError, MutoscopeError, TrainingError
from .noise import undisturbed
from .objective import AbstractObjective
from .options import FitOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["batch_statistics", "enough_memory", "rehearse", "require_several_data"]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def rehearse(
    fabric: Fabric, objective: AbstractObjective, batch: Mapping[str, Tensor], options: FitOptions
) -> None:
    """Run the loss once: what cannot work is said before anything is touched.

    Raises:
        ConfigError: The loss cannot be computed as the options want it.
    """
    validated = options.estimator != "lean"
    objective.eval()  # statistics of batches are not to count this one
    try:
        with (
            torch.set_grad_enabled(validated),  # which some of Pyro's ELBOs insist on
            undisturbed(0),
            fabric.autocast(),
            pyro.validation_enabled(validated),
        ):
            objective(batch)
    except (ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, MutoscopeError):
            raise
        raise ConfigError(
            f"The loss cannot be computed with estimator={options.estimator!r}, "
            f"particles={options.particles} and precision={options.precision!r}: "
            + str(error).split("Trace Shapes:")[0].strip()
        ) from error


def batch_statistics(objective: nn.Module) -> list[Tensor]:
    """Return the buffers that a forward pass changes by itself: those of BatchNorm."""
    modules = [module for module in objective.modules() if isinstance(module, _BATCH_NORMS)]
    return [buffer for module in modules for buffer in module.buffers(recurse=False)]


def require_several_data(batch_size: int, count: int, parts: int) -> None:
    """Refuse batches of one datum, of which BatchNorm knows no scale.

    Args:
        batch_size: Number of data in a batch.
        count: Number of all data.
        parts: Number of parts that a batch is divided in.

    Raises:
        ConfigError: Some part of some batch holds a single datum, or none.
    """
    batches = [rows for rows in (min(batch_size, count), count % batch_size) if rows]
    if any(rows < 2 * parts for rows in batches):
        raise ConfigError(
            f"With batch_size={batch_size}, a batch of these {count} data, or a part of one, holds "
            "a single datum, of which BatchNorm can take no statistics. Choose another batch_size."
        )


@contextlib.contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Say what to do where a device has too little memory.

    Raises:
        TrainingError: It had.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The device has too little memory for batches of {batch_size}: {error}. Take them in "
            "parts with a larger `accumulate`, or choose a smaller `batch_size` or "
            "data_device='stream'."
        ) from error

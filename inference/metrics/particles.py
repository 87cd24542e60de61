"""What everything that evaluates many draws at once has in common."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import MaskedDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from ...zoo.errors import ConfigError, DataError

__all__ = ["check_batch", "evaluation", "log_density", "particle_chunks", "unwrapped"]

VALUES_AT_ONCE = 2**22  # observed numbers evaluated together: some 100 MB with what surrounds them


@contextlib.contextmanager
def evaluation(*modules: nn.Module, seed: int) -> Iterator[None]:
    """Evaluate modules from a seed, without gradients, and leave everything as it was.

    Inside, modules are in evaluation mode, Pyro validates nothing and no global parameter store is
    touched. Afterwards every module's mode and the global random state are those from before.
    """
    modes = [(part, part.training) for module in modules for part in module.modules()]
    with (
        torch.no_grad(),
        torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))),
        pyro.validation_enabled(False),
        pyro.settings.context(module_local_params=True),
    ):
        torch.manual_seed(seed)
        try:
            for module in modules:
                module.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training


def log_density(site: Mapping[str, Any]) -> Float[Tensor, "..."]:
    """Return the log-density of a site's value, zero where it is masked, not scaled by plates."""
    log_prob: Tensor = site["fn"].log_prob(site["value"])
    mask = site["mask"]
    if mask is None or mask is True:
        return log_prob
    return torch.where(torch.as_tensor(mask, device=log_prob.device), log_prob, 0.0)


def unwrapped(distribution: Distribution) -> Distribution:
    """Return the distribution inside any number of wrappers that add axes or masks."""
    while isinstance(distribution, Independent | MaskedDistribution):
        distribution = distribution.base_dist
    return distribution


def particle_chunks(batch: Mapping[str, Tensor], particles: int) -> list[int]:
    """Divide a number of particles into parts whose images fit in memory together.

    Raises:
        ConfigError: `particles` is below 1.
    """
    if particles < 1:
        raise ConfigError(f"Found {particles} draws, but at least 1 is needed.")
    values = sum(tensor.numel() for tensor in batch.values())
    chunk = max(1, VALUES_AT_ONCE // max(1, values))
    whole, rest = divmod(particles, chunk)
    return [chunk] * whole + [rest] * (rest > 0)


def check_batch(batch: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the batch on the model's device.

    Raises:
        DataError: It has no datum, tensors differ in their number of data, or a number is not
            finite.
    """
    counts = {name: len(tensor) if tensor.ndim else 0 for name, tensor in batch.items()}
    if not counts or min(counts.values()) == 0 or len(set(counts.values())) > 1:
        raise DataError(
            f"Found {counts or 'no tensors'}, but tensors with the same number of data, at least "
            "one, along their first axis are needed."
        )
    for name, tensor in batch.items():
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise DataError(
                f"{name}: found {bad} numbers that are NaN or infinite, but finite ones are "
                "needed. Remove or repair these data."
            )
    if hasattr(model, "check_data"):
        cast(Any, model).check_data(batch)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return {name: tensor.to(device) for name, tensor in batch.items()}

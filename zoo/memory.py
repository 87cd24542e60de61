"""Whether a network fits in memory, asked before it is built."""

import os
from collections.abc import Callable

import torch
from torch import nn

from .errors import ConfigError

__all__ = ["check_memory", "memory_of_machine", "memory_of_training"]

_COPIES = 4  # weights, their gradients, and the two averages of Adam


def memory_of_training(build: Callable[[], nn.Module]) -> int:
    """Return how many bytes weights, gradients and Adam take, without building anything."""
    with torch.device("meta"):
        module = build()
    return _COPIES * sum(p.numel() * p.element_size() for p in module.parameters())


def check_memory(build: Callable[[], nn.Module], what: str) -> None:
    """Refuse a network that this machine cannot hold while it is trained.

    Nothing is refused where the system does not say how much memory it has.

    Args:
        build: Returns the network.
        what: What makes it large, as the message says it.

    Raises:
        ConfigError: It would need more than there is.
    """
    needed, there = memory_of_training(build), memory_of_machine()
    if there is not None and needed > there:
        raise ConfigError(
            f"With {what}, the decoder would need about {needed / 2**30:,.0f} GiB in training "
            f"(weights, gradients and the averages of Adam), but this machine has "
            f"{there / 2**30:,.0f} GiB. Take fewer blocks or narrower layers."
        )


def memory_of_machine() -> int | None:
    """Return how many bytes of memory there are; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return None

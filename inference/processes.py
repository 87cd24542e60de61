"""What several processes that train together agree on."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

import torch.distributed
from torch import Tensor

from ..zoo.errors import RunError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["first_found", "leads", "leave_at_exit", "on_the_first", "over_processes"]

_Found = TypeVar("_Found")


def leads() -> bool:
    """Tell whether this process is the only one, or the first of several."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not several or torch.distributed.get_rank() == 0


def leave_at_exit() -> None:
    """Part from the other processes in good order when this one ends.

    Otherwise threads of the connection may still run while the interpreter is torn down, which can
    end a process that is done, or has said what is wrong, with an abort.
    """
    atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def over_processes(fabric: Fabric, tensor: Tensor, reduce_op: str) -> Tensor:
    """Return the "sum", "mean" or "max" of a tensor over all processes."""
    if fabric.world_size == 1:
        return tensor
    return cast(Tensor, fabric.all_reduce(tensor, reduce_op=reduce_op))


def first_found(fabric: Fabric, found: _Found | None) -> _Found | None:
    """Return what the first process found that found anything: the same in all of them."""
    if fabric.world_size == 1:
        return found
    gathered: list[_Found | None] = [None] * fabric.world_size
    torch.distributed.all_gather_object(gathered, found)
    return next((each for each in gathered if each is not None), None)


def on_the_first(fabric: Fabric, action: Callable[[], object]) -> None:
    """Do something in the first process only; if it fails there, all processes stop.

    Raises:
        RunError: In the other processes; the first raises the error itself.
    """
    error: Exception | None = None
    if fabric.is_global_zero:
        try:
            action()
        except Exception as raised:  # whatever it is, nobody may wait for this process
            error = raised
    told = fabric.broadcast(None if error is None else str(error))
    if error is not None:
        raise error
    if told is not None:
        raise RunError(f"The first process stopped: {told}")

"""Gradients of the loss of a batch, part by part and process by process."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .objective import AbstractObjective
from .processes import over_processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from .capture import Captured

__all__ = ["Gradients"]


class Gradients:
    """Leaves the gradient of a loss, averaged over all data of a batch, in the parameters.

    A batch is divided in parts: each process takes `accumulate` of them, one after the other.

    Args:
        fabric: Where to train, launched.
        objective: The loss.
        optimizer: Of its parameters.
        batch_size: Number of data of a whole batch.
        accumulate: Number of parts for each process.
        compile: Whether to capture loss and gradients as one graph. Where that cannot be, a warning
            says so, and networks are compiled by themselves.

    Attributes:
        optimizer: The same, as `fabric` wants it stepped.
        parts: Number of parts of all processes.
        own: Numbers of those of this process.
    """

    def __init__(
        self,
        fabric: Fabric,
        objective: AbstractObjective,
        optimizer: torch.optim.Optimizer,
        *,
        batch_size: int,
        accumulate: int,
        compile: bool,
    ) -> None:
        self.fabric, self._objective = fabric, objective
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        setup: Any = fabric.setup(objective, optimizer)
        self._call, self.optimizer = setup
        self.parts = fabric.world_size * accumulate
        first = fabric.global_rank * accumulate
        self.own = list(range(first, first + accumulate))
        sizes = {len(part) for part in self.rows(torch.arange(batch_size))} if compile else set()
        self._captured = _capture(objective, sizes) if compile else None

    def rows(self, indices: Tensor) -> list[Tensor]:
        """Return which data of a batch each of this process's parts holds; some may hold none."""
        if self.parts == 1:
            return [indices]
        divided = indices.tensor_split(self.parts)
        return [divided[part] for part in self.own]

    def add(
        self, batch: Mapping[str, Tensor], share: float, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Add the gradient of a part, and return its loss and terms.

        Args:
            batch: The data of the part.
            share: Their share of the whole batch.
            last: Whether it is the last part: then gradients are averaged over processes.
        """
        weight = share * self.fabric.world_size
        if self._captured is None:
            wait = self.fabric.world_size > 1 and not last
            with self.fabric.no_backward_sync(self._call) if wait else contextlib.nullcontext():
                loss, terms = self._call(batch)
                self.fabric.backward(loss if weight == 1.0 else loss * weight)
            return loss.detach(), terms
        from .capture import CannotCapture

        try:
            return self._add_captured(self._captured, batch, weight, last=last)
        except CannotCapture as error:
            self._without_graph(error)
        return self.add(batch, share, last=last)

    def _add_captured(
        self, captured: Captured, batch: Mapping[str, Tensor], weight: float, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        before = [parameter.grad for parameter in self._parameters]
        with self.fabric.autocast():
            loss, terms = captured(dict(batch))
        for parameter, sum_before in zip(self._parameters, before, strict=True):
            if parameter.grad is not None and weight != 1.0:
                parameter.grad.mul_(weight)
            if parameter.grad is not None and sum_before is not None:
                parameter.grad.add_(sum_before)
        if last and self.fabric.world_size > 1:
            self._average()
        return loss, terms

    def _without_graph(self, reason: Exception) -> None:
        from .capture import compile_networks

        warnings.warn(
            f"The loss cannot be one graph ({reason}), so networks are compiled by themselves: "
            "slower, with equal results.",
            stacklevel=7,
        )
        self._captured = None
        compile_networks(self._objective.elbo.model, self._objective.elbo.guide)

    def _average(self) -> None:
        """Average gradients over processes: a captured graph knows nothing of them."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat = over_processes(self.fabric, flat, "mean")
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))


def _capture(objective: AbstractObjective, sizes: set[int]) -> Captured:
    from .capture import Captured

    return Captured(objective, sizes)

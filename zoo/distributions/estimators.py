"""Gradient estimators for spikes, chosen by name.

Two kinds. A *relaxed* estimator draws hard spikes and lends them the gradient of a relaxation. A
*proposing* estimator evaluates everything downstream of the spikes at several proposals and
combines the results; its objective runs the model once with the proposals as a leading axis.

| name | kind | gradient of the logits |
|---|---|---|
| `straight_through` | relaxed | that of the logistic relaxation at a temperature (biased) |
| `hard_concrete` | relaxed | that of the stretched, clipped one (Louizos et al. 2018; biased) |
| `disarm` | proposes 2 | antithetic pairs (Dong et al. 2020; unbiased) |
| `local_expectation` | proposes M + 1 | each of M spikes summed out given the others (unbiased) |
| `enumerate` | proposes 2^M | exact |
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import ConfigError
from .categories import all_spikes

__all__ = ["Estimator", "Proposals", "propose", "surrogate_spike"]

Estimator = Literal["straight_through", "hard_concrete", "disarm", "local_expectation", "enumerate"]
MAX_ENUMERATED_SPIKES = 14
_STRETCH_LOW, _STRETCH_HIGH = -0.1, 1.1  # the interval of Louizos et al. 2018, section 4


@dataclass(frozen=True, eq=False)
class Proposals:
    """Values at which to evaluate what lies downstream, and how to combine the results.

    Attributes:
        values: The proposals, first axis; the rest is shaped like a sample.
        combine: Maps the downstream log-densities `(proposal, *batch)` to `(*batch)`: an estimate
            of their mean whose gradient also reaches the logits.
        parts: Number of event axes of what is observed whose log-densities are not summed before
            they are combined, but come last: `(proposal, *batch, *part)`.
    """

    values: Float[Tensor, "proposal ..."]
    combine: Callable[[Tensor], Tensor]
    parts: int = 0


def surrogate_spike(
    estimator: Estimator, hard: Tensor, logits: Tensor, temperature: Tensor | float
) -> Tensor:
    """Return the hard spikes, exactly, with the gradient that a relaxed estimator gives them.

    Each spike is relaxed on its own, with logistic noise drawn given its outcome.

    Args:
        estimator: Its name; a proposing one leaves the spikes without gradient.
        hard: Spikes that were drawn.
        logits: Log-odds of each spike's marginal probability, under whatever joint law drew them.
        temperature: Temperature of the relaxation.
    """
    if estimator not in ("straight_through", "hard_concrete"):
        return hard
    noise = torch.logit(uniform_given(hard, logits), eps=1e-6)
    soft = torch.sigmoid((logits + noise) / temperature)
    if estimator == "hard_concrete":
        soft = (soft * (_STRETCH_HIGH - _STRETCH_LOW) + _STRETCH_LOW).clamp(0, 1)
    return hard + (soft - soft.detach())


def uniform_given(hard: Tensor, logits: Tensor) -> Tensor:
    """Draw the uniform `u` behind each spike given its outcome `u > 1 - sigmoid(logit)`."""
    with torch.no_grad():
        off = torch.sigmoid(-logits)
        uniform = torch.rand_like(hard)
        return torch.where(hard > 0, off + uniform * (1 - off), uniform * off)


def propose(
    estimator: Estimator,
    on: Tensor,
    slab: Tensor,
    logits: Tensor,
    event_ndim: int,
    *,
    reject_zero: bool = False,
) -> Proposals | None:
    """Return the proposals of an estimator, or None for the relaxed ones.

    Args:
        estimator: Its name.
        on: Spikes that were drawn, `(*batch, *event)`.
        slab: Slab values, also where spikes are off.
        logits: Log-odds of the spikes.
        event_ndim: Number of trailing axes that make one event of M spikes.
        reject_zero: Whether the all-off vector (along the last axis) is excluded.

    Raises:
        ConfigError: Exact enumeration of too many spikes was asked for.
    """
    if estimator in ("straight_through", "hard_concrete"):
        return None
    event = slab.shape[slab.ndim - event_ndim :]
    on, logits = (x.expand_as(slab).flatten(-event_ndim) for x in (on, logits))
    make = {"disarm": _disarm, "local_expectation": _local_expectation, "enumerate": _enumerate}
    masks, combine = make[estimator](on, logits, event, reject_zero)
    return Proposals(masks.to(slab.dtype).unflatten(-1, event) * slab, combine)


_Made = tuple[Tensor, Callable[[Tensor], Tensor]]


def _attach(value: Tensor, zero_valued: Tensor) -> Tensor:
    """Return `value` with the gradient of another tensor added."""
    return value + (zero_valued - zero_valued.detach())


def _disarm(on: Tensor, logits: Tensor, event: torch.Size, reject_zero: bool) -> _Made:
    del event, reject_zero
    mirrored = 1 - uniform_given(on.to(logits.dtype), logits) > torch.sigmoid(-logits.detach())
    sign = torch.where(mirrored, -1.0, 1.0) * (on != mirrored)

    def combine(downstream: Tensor) -> Tensor:
        difference = (downstream[0] - downstream[1]).detach() / 2
        weight = difference.unsqueeze(-1) * sign * torch.sigmoid(logits.detach().abs())
        return _attach(downstream.mean(0), (weight * logits).sum(-1))

    return torch.stack([on, mirrored]), combine


def _local_expectation(on: Tensor, logits: Tensor, event: torch.Size, reject_zero: bool) -> _Made:
    del event, reject_zero
    num_spikes = on.shape[-1]
    flip = torch.eye(num_spikes, dtype=torch.bool, device=on.device)
    flipped = on ^ flip.reshape(num_spikes, *[1] * (on.ndim - 1), num_spikes)

    def combine(downstream: Tensor) -> Tensor:
        gain = (downstream[1:] - downstream[:1]).detach().movedim(0, -1)
        gain = torch.where(on, -gain, gain)
        return _attach(downstream[0], (gain * torch.sigmoid(logits)).sum(-1))

    return torch.cat([on.unsqueeze(0), flipped]), combine


def _enumerate(on: Tensor, logits: Tensor, event: torch.Size, reject_zero: bool) -> _Made:
    num_spikes = on.shape[-1]
    if num_spikes > MAX_ENUMERATED_SPIKES:
        raise ConfigError(
            f"Exact enumeration of {num_spikes} spikes needs 2^{num_spikes} evaluations; the limit "
            f"is {MAX_ENUMERATED_SPIKES}. Use fewer fields or frames, or 'local_expectation'."
        )
    frames = event[:-1].numel()
    masks = all_spikes(frames, event[-1], reject_zero=reject_zero, device=on.device)
    masks = masks.reshape(-1, *[1] * (on.ndim - 1), num_spikes)
    signed = torch.where(masks, logits, -logits)
    weight = torch.nn.functional.logsigmoid(signed).sum(-1).softmax(0)
    return masks.expand(-1, *on.shape), lambda downstream: (weight * downstream).sum(0)

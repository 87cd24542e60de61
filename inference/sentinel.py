"""When a number stops being finite: which one was first, where, and how to see it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn

from ..zoo.errors import MutoscopeError
from .elbo import is_latent, is_observed
from .metrics.particles import log_density
from .objective import AbstractObjective
from .sealed import seal, unseal

__all__ = ["FAILURE", "explain_failure", "replay_failure", "save_failure"]

FAILURE = "failure"


def explain_failure(
    objective: AbstractObjective, batch: Mapping[str, Tensor]
) -> str | MutoscopeError | None:
    """Return what is the first thing of a step that is not finite, or None if nothing is.

    Args:
        objective: The loss, with the last finite parameters.
        batch: The data of the step that failed; the noise it drew is in force.

    Returns:
        A phrase, or the error that a check of the zoo raised.
    """
    try:
        return _of_inputs(objective, batch) or _of_computation(objective, batch)
    except MutoscopeError as error:
        return error
    except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        return f"the loss cannot be computed ({type(error).__name__}: {error})"


def _of_inputs(objective: AbstractObjective, batch: Mapping[str, Tensor]) -> str | None:
    for name, tensor in batch.items():
        if not _finite(tensor):
            finite = tensor.isfinite().reshape(len(tensor), -1).all(1)
            rows = (~finite).nonzero().flatten().tolist()
            return f"the data {name!r} hold NaN or infinity in rows {rows[:8]} of the batch"
    for name, parameter in objective.elbo.named_parameters():
        if not _finite(parameter):
            return f"the parameter {name!r} is not finite"
    return None


def _of_computation(objective: AbstractObjective, batch: Mapping[str, Tensor]) -> str | None:
    sites = next(_sites_not_finite(objective, batch), None)
    loss, terms = objective(batch)
    loss.backward()
    broken = [
        name
        for name, parameter in objective.elbo.named_parameters()
        if parameter.grad is not None and not _finite(parameter.grad)
    ]
    if sites is not None:
        return f"the first that is not finite is {sites}"
    for name, term in zip(objective.names, terms, strict=True):
        if name != "elbo" and not _finite(term):
            return f"every site is finite, but not the term {name!r}"
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        return f"every site is finite, but not the gradient of {broken[0]!r}{more}"
    return None


def _sites_not_finite(objective: AbstractObjective, batch: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield what is not finite in the order in which guide and model run."""
    elbo = objective.elbo
    with torch.no_grad(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        guide: Any = poutine.trace(elbo.guide).get_trace(**batch, size=objective.size)
        count = len(next(iter(batch.values())))
        yield from _of_trace("guide", guide, count)
        model: Any = poutine.trace(poutine.replay(elbo.model, guide)).get_trace(
            **batch, size=objective.size
        )
        yield from _of_trace("model", model, count)


def _of_trace(where: str, trace: Any, count: int) -> Iterator[str]:  # noqa: ANN401 - a Pyro trace
    for name, site in trace.nodes.items():
        if site["type"] != "sample":
            continue
        if not _finite(site["value"]):
            yield f"the value of site {name!r} in the {where}"
        elif is_latent(site) or is_observed(site):
            log_prob = log_density(site)
            if not _finite(log_prob):
                yield f"log p({name}) in the {where}{_rows(site, log_prob, count)}"


def _rows(site: Mapping[str, Any], log_prob: Tensor, count: int) -> str:
    """Return which of so many data a density is not finite for, where one of its axes is theirs."""
    for frame in site["cond_indep_stack"]:
        axis = frame.dim
        if axis is not None and log_prob.ndim >= -axis and log_prob.shape[axis] == count:
            places = (~log_prob.isfinite()).nonzero()
            return f" (rows {places[:, axis].unique().tolist()[:8]} of the batch)"
    return ""


def _finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def save_failure(
    folder: Path,
    weights: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
    noise: Tensor,
    facts: Mapping[str, Any],
) -> None:
    """Write what reproduces a failed step to a sealed folder.

    Args:
        folder: Where to.
        weights: State of model and guide before the step.
        batch: Its data.
        noise: State of the random generators.
        facts: JSON values: what happened, and where.
    """
    from safetensors.torch import save_file

    tensors = {f"weights.{k}": v.contiguous() for k, v in weights.items()}
    tensors |= {f"batch.{k}": v.contiguous() for k, v in batch.items()}
    tensors["noise"] = noise
    seal(
        folder,
        {
            "failure.json": lambda path: path.write_text(json.dumps(dict(facts), indent=2) + "\n"),
            "failure.safetensors": lambda path: save_file(tensors, path),
        },
    )


def replay_failure(
    folder: str | Path, model: nn.Module, guide: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put a failed step in place again: weights in model and guide, and the noise that it drew.

    Afterwards `Elbo(model, guide, particles=facts["particles"])(batch, size=facts["size"])`
    computes the terms of that step, and an `Objective` of the same arguments its loss, after
    `drive(facts["progress"])`.

    Args:
        folder: `failure` in the folder of the run.
        model: A model of the same configuration; its weights are replaced.
        guide: Its guide, likewise.

    Returns:
        The batch, and the facts: message, step, progress (the fraction of training that was done),
        indices, size, particles.

    Raises:
        RunError: The folder holds no such record, or is damaged.
    """
    from safetensors.torch import load_file

    paths = unseal(Path(folder))
    facts: dict[str, Any] = json.loads(paths["failure.json"].read_text())
    tensors = load_file(paths["failure.safetensors"])
    for part, module in (("model", model), ("guide", guide)):
        prefix = f"weights.{part}."
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
    noise, host = tensors["noise"], len(torch.get_rng_state())
    torch.set_rng_state(noise[:host])
    if len(noise) > host and torch.cuda.is_available():
        torch.cuda.set_rng_state(noise[host:])
    return {k.removeprefix("batch."): v for k, v in tensors.items() if k[:6] == "batch."}, facts

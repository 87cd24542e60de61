"""Few-shot learning: what a run makes of new tasks, of which some points have labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from ..zoo.errors import ConfigError, DataError
from .metrics.arrays import Array
from .metrics.particles import check_batch, evaluation, particle_chunks
from .run import Run
from .sampler import Sampler

__all__ = ["Adaptation", "adapt"]

_INPUTS, _LABELS, _OBSERVED, _CLASSES = "inputs", "labels", "observed", "classes"


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Predictions for points without labels, and the latents that they rest on.

    Attributes:
        mean: Mean label: a number, or the probability of yes; of classes, see `probability`.
        lower: Bound below which the label lies with probability (1 - level) / 2 if it is a number;
            else the mean, by what the labels leave open of the head.
        upper: Likewise above.
        probability: Of each class; NaN for numbers.
        latents: Draws of each latent of a task, such as its head, by name.
    """

    mean: Float[Tensor, "task query"]
    lower: Float[Tensor, "task query"]
    upper: Float[Tensor, "task query"]
    probability: Float[Tensor, "task query class"]
    latents: dict[str, Float[Tensor, "draw task ..."]]

    @property
    def label(self) -> Float[Tensor, "task query"]:
        """The best single label: the most probable class, or the mean number."""
        number = self.probability[..., 0].isnan()
        likely = torch.where(number.unsqueeze(-1), 0.0, self.probability).argmax(-1)
        return torch.where(number, self.mean, likely.to(self.mean))


def adapt(
    run: Run,
    inputs_support: Shaped[Array, "..."],
    labels_support: Shaped[Array, "*task support"],
    inputs_query: Shaped[Array, "..."],
    *,
    classes: int | Int[Tensor, " task"],
    observed: Bool[Tensor, "*task support"] | None = None,
    draws: int = 200,
    level: float = 0.9,
    seed: int = 0,
) -> Adaptation:
    """Infer heads of new tasks from a few labelled points, and predict the labels of others.

    It is one pass of the guide for all tasks. The model may be any that takes `inputs` and `labels`
    of (task, point), which of them are `observed`, and the number of `classes` of a task, and whose
    likelihood of `labels` has a `mean` and `probs`.

    Args:
        run: A run.
        inputs_support: Points with labels; (task, support, ...), or (support, ...) of one task.
            They are what the model was trained on: points of a file that `open_tasks` scaled go
            through its `scaled` first.
        labels_support: Their labels; classes by number from 0.
        inputs_query: Points to predict, with as many axes.
        classes: Of all tasks, or of each: 0 for numbers, 2 for yes or no, C for C classes.
        observed: Which support points have a label, where tasks differ in their number; None: all.
        draws: Number of draws of heads.
        level: Probability that an interval holds.
        seed: Of the draws.

    Raises:
        ConfigError: The model has no such tasks, or an option is out of range.
        DataError: Shapes do not fit, or labels are nothing to learn from (NaN, one class only, …).
    """
    if draws < 1 or not 0 < level < 1:
        raise ConfigError(f"Found draws={draws} and level={level}; expected 1 or more, and (0, 1).")
    inputs, labels, query = (
        _as_numbers(each, run.model) for each in (inputs_support, labels_support, inputs_query)
    )
    batch = _batch(inputs, labels, query, classes, observed)
    count = labels.shape[-1]
    with evaluation(run.model, run.guide, seed=seed):
        batch = check_batch(batch, run.model)
        parts, latents = _draws(run.model, run.guide, batch, draws)
    mean, label, chance = (torch.cat(part)[:, :, count:] for part in zip(*parts, strict=True))
    number = (batch[_CLASSES] == 0).reshape(1, -1, 1)
    bounds = torch.tensor([(1 - level) / 2, (1 + level) / 2]).to(mean)
    lower, upper = torch.where(number, label, mean).quantile(bounds, dim=0)
    return Adaptation(mean.mean(0), lower, upper, chance.mean(0), latents)


def _as_numbers(values: Shaped[Array, "..."], model: nn.Module) -> Float[Tensor, "..."]:
    """Return an array in the precision of the model."""
    tensor = torch.as_tensor(values)
    kind = next((p.dtype for p in model.parameters()), torch.get_default_dtype())
    return tensor.to(kind)


def _batch(
    inputs: Tensor,
    labels: Tensor,
    query: Tensor,
    classes: int | Tensor,
    observed: Tensor | None,
) -> dict[str, Tensor]:
    """Return tasks whose last points have no labels."""
    if labels.ndim == 1:
        inputs, labels, query = inputs.unsqueeze(0), labels.unsqueeze(0), query.unsqueeze(0)
        observed = None if observed is None else observed.unsqueeze(0)
    known = torch.ones_like(labels, dtype=torch.bool) if observed is None else observed
    places = labels.shape
    alike = inputs.shape[:2] == places == known.shape and query.shape[:1] == places[:1]
    if labels.ndim != 2 or not alike or query.shape[2:] != inputs.shape[2:]:
        raise DataError(
            f"Found inputs of shape {tuple(inputs.shape)} with labels {tuple(places)}, observed "
            f"{tuple(known.shape)}, and points to predict {tuple(query.shape)}; expected (task, "
            "support, ...), twice (task, support) and (task, query, ...). Leave the axis of tasks "
            "out of all, or of none."
        )
    missing = labels.new_zeros(query.shape[:2])
    kinds = torch.as_tensor(classes, dtype=torch.int64, device=labels.device)
    return {
        _INPUTS: torch.cat([inputs, query], 1),
        _LABELS: torch.cat([labels, missing], 1),
        _OBSERVED: torch.cat([known, missing.bool()], 1),
        _CLASSES: kinds.expand(len(labels)) if kinds.ndim == 0 else kinds,
    }


def _draws(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], draws: int
) -> tuple[list[tuple[Tensor, Tensor, Tensor]], dict[str, Tensor]]:
    """Return means, drawn labels and probabilities of classes in parts, and latents, at draws."""
    sampler = Sampler(model, guide, batch)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    latents: dict[str, list[Tensor]] = {}
    for particles in particle_chunks(batch, draws):
        drawn = sampler.draw(batch, particles)
        law: Any = drawn.observed.get(_LABELS, {}).get("fn")
        if law is None or not hasattr(law, "probs"):
            raise ConfigError(
                f"{type(model).__name__} observes no `labels` of tasks, whose distribution has a "
                "`mean` and `probs`: there is nothing to adapt."
            )
        shape = (particles, *law.mean.shape[-2:])
        probs = law.probs.expand(*shape, -1)
        parts.append((law.mean.expand(shape), law.sample().expand(shape), probs))
        for name, site in drawn.latent.items():
            if name not in sampler.shared:
                values = sampler.values(name, site["value"], particles)
                latents.setdefault(name, []).append(values)
    return parts, {name: torch.cat(values) for name, values in latents.items()}

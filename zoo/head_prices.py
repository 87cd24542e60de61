"""What heads of tasks cost in training, in units that do not depend on labels or features."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["entropy_of", "indicators", "vanishing_price"]

_LEAST = 1e-12
_RARE = 1e-3


def indicators(
    labels: Float[Tensor, "*batch task point"], classes: Int[Tensor, " task"], num_outputs: int
) -> Float[Tensor, "*batch task output point"]:
    """Return what each output is to be: a number, 1 for yes, or 1 for the class that it is."""
    number = (classes < 3).unsqueeze(-1)
    index = torch.where(number, 0.0, labels).long().clamp(0, num_outputs - 1)
    each = torch.arange(num_outputs, device=labels.device)
    one = (index.unsqueeze(-1) == each).to(labels)
    return torch.where(number.unsqueeze(-1), labels.unsqueeze(-1), one).mT


def vanishing_price(
    features: Float[Tensor, "*batch task point feature"],
    labels: Float[Tensor, "*batch task point"],
    classes: Int[Tensor, " task"],
    counted: Bool[Tensor, "task point"],
    label_scale: Float[Tensor, ""],
    num_outputs: int,
) -> Float[Tensor, "*batch task"]:
    """Return the least price, in nats for a unit of weight, at which all weights of a task vanish.

    It is the steepest slope of the log-likelihood of the task's labels where weights are zero and
    the bias is best.

    Args:
        features: Of each point.
        labels: Of each point.
        classes: Kind of each task.
        counted: Which labels count.
        label_scale: Standard deviation of labels that are numbers.
        num_outputs: How many outputs there are.
    """
    there = counted.unsqueeze(-2).to(features)
    target = indicators(labels, classes, num_outputs) * there
    mean = target.sum(-1, keepdim=True) / there.sum(-1, keepdim=True).clamp(min=1)
    slope = ((target - mean * there) @ features).abs().amax((-1, -2))
    return torch.where(classes == 0, slope / label_scale.square(), slope)


def entropy_of(
    size: Float[Tensor, "*batch task feature"],
) -> tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch 1 feature"]]:
    """Return the entropy of the use of features by tasks together, in nats, and its slope.

    Use p of a feature is its share in the sum of all sizes; the slope by any size is
    `(-log p - entropy) / sum` (Fumero et al. 2023 charge this entropy). For rare features it is
    that of a use of 0.001, since none could come back at a price without bounds.

    Args:
        size: Sum of absolute weights, of each task and feature.
    """
    pooled = size.sum(-2, keepdim=True)
    total = pooled.sum(-1, keepdim=True).clamp(min=_LEAST)
    share = (pooled / total).clamp(min=_LEAST)
    entropy = -(share * share.log()).sum(-1, keepdim=True)
    return entropy.squeeze(-1), (-share.clamp(min=_RARE).log() - entropy) / total

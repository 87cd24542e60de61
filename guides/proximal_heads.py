"""The best heads of many tasks at once, by steps of proximal gradient descent."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..zoo.distributions import outputs_of
from ..zoo.head_prices import indicators

__all__ = ["Price", "ProximalHeads", "soft_threshold"]

# Price of a unit of each weight, given absolute weights, in nats.
Price = Callable[[Float[Tensor, "task output feature"]], Float[Tensor, "task #output feature"]]


class ProximalHeads:
    """Minimises minus the log-likelihood of labels, plus prices of weights, for each task.

    Steps of iterative soft thresholding (Daubechies et al. 2004), all of one length that no
    likelihood forbids. The last of them leave a graph: their gradient stands for that of the
    minimum (Geng et al. 2021 call it a phantom gradient).

    Args:
        features: Of each point.
        labels: Of each point.
        counted: Which labels heads are to predict.
        classes: Kind of each task.
        num_outputs: How many outputs there are.
        label_scale: Standard deviation of labels that are numbers.
        count: How many times each label counts.
    """

    def __init__(
        self,
        features: Float[Tensor, "task point feature"],
        labels: Float[Tensor, "task point"],
        counted: Bool[Tensor, "task point"],
        classes: Int[Tensor, " task"],
        *,
        num_outputs: int,
        label_scale: Float[Tensor, ""],
        count: Float[Tensor, ""],
    ) -> None:
        self._features = features
        used = outputs_of(classes, num_outputs)
        self._hidden = ~used.unsqueeze(-1)
        self._target = indicators(labels, classes, num_outputs)
        self._kind = kind = classes[:, None, None]
        precision = label_scale.square().reciprocal()
        units = torch.where(kind == 0, count * precision, count)
        self._weight = units * (counted.unsqueeze(1) & used.unsqueeze(-1)).to(features)
        most = torch.where(kind == 2, 0.25 + 0 * precision, 0.5)
        self._step = self._longest(torch.where(kind == 0, 1.0, most))

    @torch.no_grad()
    def _longest(self, curvature: Tensor) -> Float[Tensor, "task 1 1"]:
        """Return the longest step that never goes too far."""
        design = torch.cat([self._features, torch.ones_like(self._features[..., :1])], -1)
        weighed = design * self._weight.amax(1).unsqueeze(-1)
        highest = torch.linalg.eigvalsh(weighed.mT @ design)[:, -1, None, None]
        return 1 / (curvature * highest).clamp(min=1e-6)

    def solve(
        self,
        prices: Sequence[Price],
        ridge: Float[Tensor, "task #output #feature"],
        steps: int,
        traced: int,
    ) -> tuple[Float[Tensor, "task output feature"], Float[Tensor, "task output"]]:
        """Return weights and biases.

        Args:
            prices: Of absolute weights, one after the other; the last is the one that counts.
            ridge: Of half the squared weights.
            steps: Number of steps without a graph.
            traced: Number of further steps with one, if gradients are wanted.
        """
        weight = torch.zeros_like(self._target[..., :1]) * self._features[:, :1]
        bias = torch.zeros_like(weight[..., 0])
        with torch.no_grad():
            for k in range(steps):
                price = prices[k * len(prices) // steps]
                weight, bias = self._advance(weight, bias, price, ridge)
        for _ in range(traced):
            weight, bias = self._advance(weight, bias, prices[-1], ridge)
        return weight, bias

    def _advance(
        self, weight: Tensor, bias: Tensor, price: Price, ridge: Tensor
    ) -> tuple[Tensor, Tensor]:
        outputs = weight @ self._features.mT + bias.unsqueeze(-1)
        slope = self._weight * (self._mean(outputs) - self._target)
        step = self._step / (1 + self._step * ridge)
        cost = price(weight.abs())
        moved = weight - step * (slope @ self._features + ridge * weight)
        return soft_threshold(moved, step * cost), bias - step[..., 0] * slope.sum(-1)

    def _mean(self, outputs: Tensor) -> Tensor:
        several = outputs.masked_fill(self._hidden, -torch.inf).softmax(1)
        binary = torch.sigmoid(outputs)
        kind = self._kind
        return torch.where(kind == 0, outputs, torch.where(kind == 2, binary, several))


def soft_threshold(
    value: Float[Tensor, "*axes"], threshold: Float[Tensor, "*#axes"]
) -> Float[Tensor, "*axes"]:
    """Return values that lie by so much nearer to zero, at zero if they were nearer."""
    return value.sign() * (value.abs() - threshold).clamp(min=0)

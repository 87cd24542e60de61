"""Independent spikes without slabs: which of K things are there."""

from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import register_kl
from torch.distributions.constraints import Constraint
from torch.nn.functional import logsigmoid, softplus

from .estimators import Estimator, Proposals, propose
from .shapes import Shape

__all__ = ["IndependentSpikes"]


class IndependentSpikes(TorchDistribution):
    """A vector of K numbers, each 1 with a probability of its own, else 0.

    As a guide's law it is summed out: everything downstream is evaluated for all 2^K vectors, side
    by side, or, with `estimator="local_expectation"`, for a draw and its K neighbours. Outer event
    axes, such as those of frames, are summed one by one (`Proposals.parts`), not together.

    Args:
        logits: Log-odds of each.
        estimator: "enumerate", "local_expectation" or "disarm", see `Estimator`.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"logits": constraints.real_vector}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(
        self,
        logits: Float[Tensor, "*batch block"],
        *,
        estimator: Estimator = "enumerate",
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.estimator = logits, estimator
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "IndependentSpikes":
        """Return the same distribution with more leading batch axes."""
        logits = self.logits.expand(*batch_shape, -1)
        return IndependentSpikes(logits, estimator=self.estimator, validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "*batch block"]:
        """Probability of each."""
        return torch.sigmoid(self.logits)

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... block"]:
        """Draw what is there; gradients reach the logits only through `proposals`."""
        with torch.no_grad():
            probability = self.mean.expand(torch.Size(sample_shape) + self.logits.shape)
            return (torch.rand_like(probability) < probability).to(self.logits.dtype)

    def log_prob(self, value: Float[Tensor, "... block"]) -> Float[Tensor, "..."]:
        """Return the log-probability of a vector."""
        return torch.where(value > 0, logsigmoid(self.logits), logsigmoid(-self.logits)).sum(-1)

    def proposals(self, value: Tensor, event_ndim: int = 1) -> Proposals | None:
        """Return the vectors that the estimator evaluates, and how it averages over them."""
        made = propose(self.estimator, value > 0, torch.ones_like(value), self.logits, 1)
        return made and Proposals(made.values, made.combine, parts=event_ndim - 1)


@register_kl(IndependentSpikes, IndependentSpikes)
def _kl_independent_spikes(q: IndependentSpikes, p: IndependentSpikes) -> Float[Tensor, "*batch"]:
    """Return that of two products of Bernoullis, finite also where a probability rounds to one."""
    return (q.mean * (q.logits - p.logits) - softplus(q.logits) + softplus(p.logits)).sum(-1)

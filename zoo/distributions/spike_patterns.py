"""Spikes that depend on each other: a probability for each of the 2^K ways to be on or off."""

from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import register_kl
from torch.distributions.constraints import Constraint
from torch.nn.functional import logsigmoid

from ..errors import ConfigError
from .categories import all_spikes, draw_category
from .estimators import MAX_ENUMERATED_SPIKES, Proposals
from .independent_spikes import IndependentSpikes
from .shapes import Shape

__all__ = ["SpikePatterns", "patterns_of"]


def patterns_of(like: Float[Tensor, "*batch block"]) -> Float[Tensor, "pattern *batch block"]:
    """Return every vector of as many spikes, in the order of binary numbers, along a first axis.

    Raises:
        ConfigError: There are too many.
    """
    blocks = like.shape[-1]
    if blocks > MAX_ENUMERATED_SPIKES:
        raise ConfigError(
            f"{blocks} spikes can be on or off in 2^{blocks} ways, but all are evaluated and the "
            f"limit is {MAX_ENUMERATED_SPIKES} spikes. Use fewer, or 'local_expectation'."
        )
    patterns = all_spikes(1, blocks, device=like.device).to(like.dtype)
    return patterns.reshape(-1, *[1] * (like.ndim - 1), blocks).expand(-1, *like.shape)


class SpikePatterns(TorchDistribution):
    """A vector of K numbers, each 1 or 0, that depend on each other.

    As a guide's law it is summed out: everything downstream is evaluated for all 2^K vectors.

    Args:
        logits: Log-odds of the vectors up to a constant, in the order of `patterns_of`.
        num_spikes: Number K of spikes.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"logits": constraints.real_vector}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(
        self,
        logits: Float[Tensor, "*batch pattern"],
        *,
        num_spikes: int,
        validate_args: bool | None = None,
    ) -> None:
        self.logits = logits - logits.logsumexp(-1, keepdim=True)
        event = torch.Size([num_spikes])
        super().__init__(logits.shape[:-1], event, validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "SpikePatterns":
        """Return the same distribution with more leading batch axes."""
        logits = self.logits.expand(*batch_shape, -1)
        return SpikePatterns(logits, num_spikes=self.event_shape[0], validate_args=False)

    @property
    def every(self) -> Float[Tensor, "pattern *batch block"]:
        """All vectors."""
        return patterns_of(self.logits[..., :1].expand(self.batch_shape + self.event_shape))

    @property
    def mean(self) -> Float[Tensor, "*batch block"]:
        """Probability that each spike is on."""
        return self._averaged(self.every.movedim(0, -1))

    def _averaged(self, values: Float[Tensor, "*batch block pattern"]) -> Tensor:
        return (values * self.logits.exp().unsqueeze(-2)).sum(-1)

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... block"]:
        """Draw which are on."""
        with torch.no_grad():
            shape = torch.Size(sample_shape)
            number = draw_category(self.logits.expand(shape + self.logits.shape))
            binary = 2 ** torch.arange(self.event_shape[0] - 1, -1, -1, device=number.device)
            return (number.unsqueeze(-1) // binary % 2).to(self.logits.dtype)

    def log_prob(self, value: Float[Tensor, "... block"]) -> Float[Tensor, "..."]:
        """Return the log-probability of a vector."""
        binary = 2 ** torch.arange(self.event_shape[0] - 1, -1, -1, device=value.device)
        number = (value.long() * binary).sum(-1, keepdim=True)
        logits = self.logits.expand(*number.shape[:-1], -1)
        return logits.gather(-1, number).squeeze(-1)

    def proposals(self, value: Tensor, event_ndim: int = 1) -> Proposals:
        """Return all vectors; results are averaged by their probabilities."""
        del value
        weight = self.logits.exp().movedim(-1, 0)
        return Proposals(self.every, lambda found: (weight * found).sum(0), parts=event_ndim - 1)


@register_kl(SpikePatterns, IndependentSpikes)
def _kl_spike_patterns(q: SpikePatterns, p: IndependentSpikes) -> Float[Tensor, "*batch"]:
    prior = torch.where(q.every > 0, logsigmoid(p.logits), logsigmoid(-p.logits)).sum(-1)
    return (q.logits.exp() * (q.logits - prior.movedim(0, -1))).sum(-1)

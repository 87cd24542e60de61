"""One of K categories, as a vector: a latent that is summed out exactly."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Categorical, register_kl
from torch.distributions.constraints import Constraint

from .categories import draw_category
from .estimators import Proposals
from .shapes import Shape

__all__ = ["OneOf"]


class OneOf(TorchDistribution):
    """A vector of K numbers, 1 for the category drawn and 0 for the others.

    As a guide's law it is summed out: everything downstream is evaluated for each of K categories,
    side by side, by our own ELBO (`proposals`) and by Pyro's `TraceEnum_ELBO`. Averages over draws
    are probabilities, with the category as an axis that has labels.

    Args:
        logits: Log-odds of the categories, up to a constant.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, logits: Float[Tensor, "*batch category"], *, validate_args: bool | None = None
    ) -> None:
        self.logits = logits
        self.categorical = Categorical(logits=logits, validate_args=False)
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "OneOf":
        """Return the same distribution with more leading batch axes."""
        return OneOf(self.logits.expand(*batch_shape, -1), validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "*batch category"]:
        """Probability of each category."""
        return self.categorical.probs

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... category"]:
        """Draw a category; gradients reach the logits only through sums over all of them."""
        logits = self.logits.detach().expand(*sample_shape, *self.logits.shape)
        return self.of(draw_category(logits))

    def log_prob(self, value: Float[Tensor, "... category"]) -> Float[Tensor, "..."]:
        """Return the log-probability of the category that is 1."""
        return self.categorical.log_prob(value.argmax(-1))

    def enumerate_support(self, expand: bool = True) -> Float[Tensor, "category ... category"]:
        """Return each category in turn, along a new first axis."""
        count = self.event_shape[0]
        category = torch.arange(count, device=self.logits.device)
        category = category.reshape(-1, *[1] * len(self.batch_shape))
        return self.of(category.expand(-1, *self.batch_shape) if expand else category)

    def proposals(self, value: Tensor, event_ndim: int = 1) -> Proposals:
        """Return each category in turn; the results are averaged by their probabilities."""
        del value, event_ndim
        weight = self.categorical.probs.movedim(-1, 0)
        return Proposals(self.enumerate_support(), lambda found: (weight * found).sum(0))

    def of(self, category: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch category"]:
        """Return the vector of a category, given by its number."""
        every = torch.arange(self.event_shape[0], device=category.device)
        return (category.unsqueeze(-1) == every).to(self.logits.dtype)


@register_kl(OneOf, OneOf)
def _kl_one_of(q: OneOf, p: OneOf) -> Float[Tensor, "*batch"]:
    """Return that of the two categoricals, without the indexing by masks of torch's own."""
    probs = q.categorical.probs
    terms: Any = probs * (q.categorical.logits - p.categorical.logits)
    return torch.where(probs > 0, terms, 0.0).sum(-1)

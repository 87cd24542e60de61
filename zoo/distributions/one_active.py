"""One field active for a whole sequence: the coefficients of flow-factorized learning."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Categorical, register_kl
from torch.distributions.constraints import Constraint

from .categories import draw_category
from .estimators import Proposals
from .shapes import Shape

__all__ = ["OneActiveField"]


class OneActiveField(TorchDistribution):
    """A `(T, K)` array of speeds: 1 for one field in every frame, 0 for the others.

    The coefficients of flow-factorized representation learning (Song et al. 2023,
    arXiv:2309.13167), where a sequence undergoes one of K transformations at unit speed. As the
    guide's law it is summed out exactly: everything downstream is evaluated for each of K fields.

    Args:
        logits: Log-odds of the fields, up to a constant.
        length: Number T of transitions.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"logits": constraints.real_vector}
    support = constraints.independent(constraints.boolean, 2)
    has_rsample = True
    sparse = True

    def __init__(
        self,
        logits: Float[Tensor, "*batch field"],
        *,
        length: int,
        validate_args: bool | None = None,
    ) -> None:
        self.logits = logits
        self.categorical = Categorical(logits=logits, validate_args=False)
        event_shape = torch.Size([length, logits.shape[-1]])
        super().__init__(logits.shape[:-1], event_shape, validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "OneActiveField":
        """Return the same distribution with more leading batch axes."""
        logits = self.logits.expand(*batch_shape, -1)
        return OneActiveField(logits, length=self.event_shape[0], validate_args=False)

    @staticmethod
    def speed_of(
        field: Int[Tensor, "*batch"], length: int, num_fields: int
    ) -> Float[Tensor, "*batch frame field"]:
        """Return the speeds of `length` transitions when `field` is the active one."""
        active = field.unsqueeze(-1) == torch.arange(num_fields, device=field.device)
        speed = active.to(torch.get_default_dtype())
        return speed.unsqueeze(-2).expand(*field.shape, length, num_fields)

    def _speed(self, field: Tensor) -> Tensor:
        return self.speed_of(field, *self.event_shape).to(self.logits.dtype)

    def rsample(self, sample_shape: Shape = ()) -> Float[Tensor, "... frame field"]:
        """Draw which field is active; gradients reach the logits only through `proposals`."""
        logits = self.logits.detach().expand(*sample_shape, *self.logits.shape)
        return self._speed(draw_category(logits))

    def log_prob(self, value: Float[Tensor, "... frame field"]) -> Float[Tensor, "..."]:
        """Return the log-probability of the active field; -inf unless one is, at speed 1."""
        field = value[..., 0, :].argmax(-1)
        possible = (value == self.speed_of(field, 1, value.shape[-1])).all(-1).all(-1)
        return torch.where(possible, self.categorical.log_prob(field), -torch.inf)

    def proposals(self, value: Tensor, event_ndim: int = 2) -> Proposals:
        """Return each field in turn; the results are averaged by their probabilities."""
        del event_ndim
        num_fields = self.event_shape[1]
        fields = torch.arange(num_fields, device=value.device)
        fields = fields.reshape(-1, *[1] * len(self.batch_shape)).expand(-1, *self.batch_shape)
        weight = self.categorical.probs.movedim(-1, 0)
        return Proposals(self._speed(fields), lambda downstream: (weight * downstream).sum(0))


@register_kl(OneActiveField, OneActiveField)
def _kl_one_active(q: OneActiveField, p: OneActiveField) -> Float[Tensor, "*batch"]:
    """That of the two categoricals, without the indexing by masks of torch's own."""
    probs = q.categorical.probs
    terms = probs * (q.categorical.logits - p.categorical.logits)
    return torch.where(probs > 0, terms, 0.0).sum(-1)

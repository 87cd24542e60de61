"""A walk through a finite group: elements that act one after the other, in a Markov chain."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import register_kl
from torch.distributions.constraints import Constraint

from .categories import draw_category
from .estimators import Proposals
from .shapes import Shape

__all__ = ["GroupWalk"]


class GroupWalk(TorchDistribution):
    """A `(T, K)` array whose rows each have a 1 for the element that acts in that transition.

    As a guide's law it is summed out exactly. What is seen at time t depends on the product of all
    elements up to then alone, so K evaluations of what lies downstream are enough, one for each
    product, whatever the length; `poses` says how probable each is.

    Args:
        initial: Log-probability of the first element.
        transition: Log-probability of the next element (last axis) after each one, a matrix for
            each of the T - 1 changes.
        table: Product of each pair of elements, see `FiniteGroup`.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "initial": constraints.real_vector,
        "transition": constraints.independent(constraints.real, 3),
    }
    support = constraints.independent(constraints.one_hot, 1)

    def __init__(
        self,
        initial: Float[Tensor, "*batch element"],
        transition: Float[Tensor, "*batch change element element"],
        table: Int[Tensor, "element element"],
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.initial, self.transition, self.table = initial, transition, table
        event_shape = torch.Size([transition.shape[-3] + 1, initial.shape[-1]])
        super().__init__(initial.shape[:-1], event_shape, validate_args=validate_args)

    @classmethod
    def sticky(
        cls, zero: Tensor, length: int, table: Int[Tensor, "element element"], stay: float
    ) -> "GroupWalk":
        """Return the chain that begins anywhere, and keeps its element with probability `stay`.

        Args:
            zero: Zero, of the wanted type and device.
            length: Number T of transitions.
            table: As of the class.
            stay: Probability that the same element acts again; all others are equally likely.
        """
        count = len(table)
        one = torch.eye(count, dtype=zero.dtype, device=zero.device)
        change = torch.log(one * stay + (1 - one) * (1 - stay) / (count - 1))
        initial = torch.log_softmax(zero.expand(count), -1)
        return cls(initial, change.expand(length - 1, -1, -1), table)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "GroupWalk":
        """Return the same distribution with more leading batch axes."""
        initial = self.initial.expand(*batch_shape, -1)
        transition = self.transition.expand(*batch_shape, -1, -1, -1)
        return GroupWalk(initial, transition, self.table, validate_args=False)

    def given(self, evidence: Float[Tensor, "*batch time element"]) -> "GroupWalk":
        """Return the posterior of the chain, which is a chain again, by Bayes' rule.

        Args:
            evidence: Log-likelihood of each element in each transition, up to a constant.
        """
        message = torch.zeros_like(evidence[..., 0, :])
        changes = []
        for t in reversed(range(self.event_shape[0] - 1)):
            ahead = self.transition[..., t, :, :] + (evidence[..., t + 1, :] + message).unsqueeze(
                -2
            )
            message = ahead.logsumexp(-1)
            changes.append(ahead - message.unsqueeze(-1))
        initial = torch.log_softmax(self.initial + evidence[..., 0, :] + message, -1)
        shape = *initial.shape, initial.shape[-1]
        changes = [change.expand(shape) for change in reversed(changes)]
        transition = (
            torch.stack(changes, -3) if changes else initial.new_zeros(*shape[:-2], 0, *shape[-2:])
        )
        return GroupWalk(initial, transition, self.table, validate_args=False)

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... time element"]:
        """Draw the elements one after the other; gradients come from the sum over all."""
        logits = self.initial.detach().expand(*sample_shape, *self.initial.shape)
        transition = self.transition.detach().expand(*sample_shape, *self.transition.shape)
        element = [draw_category(logits)]
        for change in transition.unbind(-3):
            rows = element[-1][..., None, None].expand(*element[-1].shape, 1, change.shape[-1])
            element.append(draw_category(change.gather(-2, rows).squeeze(-2)))
        return self.of(torch.stack(element, -1))

    def of(self, element: Int[Tensor, "... time"]) -> Float[Tensor, "... time element"]:
        """Return the array of elements, given by their numbers."""
        every = torch.arange(self.event_shape[1], device=element.device)
        return (element.unsqueeze(-1) == every).to(self.initial.dtype)

    def log_prob(self, value: Float[Tensor, "... time element"]) -> Float[Tensor, "..."]:
        """Return the log-probability of a walk."""
        before, after = value[..., :-1, :].unsqueeze(-1), value[..., 1:, :].unsqueeze(-2)
        first = (value[..., 0, :] * self.initial).sum(-1)
        return first + (before * after * self.transition).sum((-3, -2, -1))

    def marginals(self) -> Float[Tensor, "*batch time element"]:
        """Return the probability that each element acts, in each transition."""
        found = [self.initial.exp()]
        for change in self.transition.exp().unbind(-3):
            found.append((found[-1].unsqueeze(-2) @ change).squeeze(-2))
        return torch.stack(found, -2)

    def poses(self) -> Float[Tensor, "*batch time element"]:
        """Return the probability of each product of all elements so far, after each transition."""
        count = self.event_shape[1]
        before = (self.table == torch.arange(count, device=self.table.device).view(-1, 1, 1)).long()
        before = before.argmax(-1).mT  # [element, product]: what the product was before it acted
        joint = torch.diag_embed(self.initial.exp())  # of the last element and the product
        found = [joint.sum(-2)]
        for change in self.transition.exp().unbind(-3):
            moved = change.mT @ joint
            joint = moved.gather(-1, before.expand_as(moved))
            found.append(joint.sum(-2))
        return torch.stack(found, -2)

    def proposals(self, value: Tensor, event_ndim: int = 2) -> Proposals:
        """Return each product in turn, reached at once; frames are averaged each by its own."""
        del value, event_ndim
        length, count = self.event_shape
        element = torch.arange(count, device=self.table.device).unsqueeze(-1)
        element = torch.cat([element, torch.zeros_like(element).expand(-1, length - 1)], -1)
        values = self.of(element).reshape(count, *[1] * len(self.batch_shape), length, count)
        poses = self.poses()
        weight = torch.cat([torch.full_like(poses[..., :1, :], 1 / count), poses], -2)
        weight = weight.movedim(-1, 0)
        return Proposals(
            values.expand(-1, *self.batch_shape, -1, -1),
            lambda found: (weight * found).sum((0, -1)),
            parts=1,
        )


@register_kl(GroupWalk, GroupWalk)
def _kl_group_walk(q: GroupWalk, p: GroupWalk) -> Float[Tensor, "*batch"]:
    """Return that of the first elements and, given each element, of the next."""
    first = q.initial.exp() * (q.initial - p.initial)
    change = (q.transition.exp() * (q.transition - p.transition)).sum(-1)
    before = q.marginals()[..., :-1, :]
    return first.sum(-1) + (before * change).sum((-2, -1))

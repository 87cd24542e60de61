"""Speeds over time: spikes that tend to stay as they are, slabs drawn afresh each frame."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence, register_kl
from torch.distributions.constraints import Constraint
from torch.nn.functional import logsigmoid, softplus

from ..errors import ConfigError
from .categories import all_spikes
from .shapes import Shape
from .spike_and_slab import SpikeAndSlab, log_normalizer_nonzero, log_slab, require_shareable

__all__ = ["MarkovSpikeAndSlab"]

MAX_TABULATED_FIELDS = 10


class MarkovSpikeAndSlab(TorchDistribution):
    """A `(T, K)` array of speeds whose spikes form sticky Markov chains, one for each field.

    `spike_1k ~ Bernoulli(initial)`, `spike_tk ~ Bernoulli(stay if spike_(t-1)k else switch_on)`,
    `value_tk = spike_tk * slab_tk`: the prior of Song et al. 2024 (arXiv:2410.05564), whose figures
    are 0.1, 0.9 and 0.1. With `reject_zero`, a frame whose spikes are all off is drawn again from
    `initial` until some spike is on, as in the authors' simulator.

    Args:
        slab: Element-wise distribution of speeds that are on; scalar or `(K / controls,)`.
        length: Number T of transitions.
        num_fields: Number K of speeds in a frame.
        initial: Probability that a spike is on in the first frame. This and the next two are
            numbers strictly inside (0, 1), or scalar tensors, which are not checked.
        stay: Probability that a spike that is on stays on.
        switch_on: Probability that a spike that is off goes on.
        controls: Number of spike vectors that share one slab, see `SpikeAndSlab`.
        reject_zero: Whether frames with every spike off are excluded.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = False
    sparse = True

    def __init__(
        self,
        slab: Distribution,
        *,
        length: int,
        num_fields: int,
        initial: Tensor | float = 0.1,
        stay: Tensor | float = 0.9,
        switch_on: Tensor | float = 0.1,
        controls: int = 1,
        reject_zero: bool = False,
        batch_shape: Shape = (),
        validate_args: bool | None = None,
    ) -> None:
        for name, value in (("initial", initial), ("stay", stay), ("switch_on", switch_on)):
            if not isinstance(value, Tensor) and not 0 < value < 1:
                raise ConfigError(
                    f"{name}={value}, but a probability strictly inside (0, 1) is needed."
                )
        for name, count in (("length", length), ("num_fields", num_fields)):
            if count < 1:
                raise ConfigError(
                    f"{name}={count}, but at least 1 is needed: speeds exist for one transition "
                    "and one field or more. A sequence of T + 1 images has length=T."
                )
        require_shareable(num_fields, controls)
        location = slab.mean
        self.initial, self.stay, self.switch_on = (
            p.to(location) if isinstance(p, Tensor) else location.new_full((), p)
            for p in (initial, stay, switch_on)
        )
        self.controls, self.reject_zero = controls, reject_zero
        self.slab = slab.expand(torch.Size([num_fields // controls]))
        event_shape = torch.Size([length, num_fields])
        super().__init__(torch.Size(batch_shape), event_shape, validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "MarkovSpikeAndSlab":
        """Return the same distribution with other batch axes."""
        length, num_fields = self.event_shape
        return MarkovSpikeAndSlab(
            self.slab,
            length=length,
            num_fields=num_fields,
            initial=self.initial,
            stay=self.stay,
            switch_on=self.switch_on,
            controls=self.controls,
            reject_zero=self.reject_zero,
            batch_shape=torch.Size(batch_shape),
            validate_args=False,
        )

    def _logits(self, previous: Tensor | None, like: Tensor) -> Tensor:
        """Return the log-odds of the spikes of a frame given those of the frame before."""
        if previous is None:
            return torch.zeros_like(like) + torch.logit(self.initial)
        switch_on, stay = torch.logit(self.switch_on), torch.logit(self.stay)
        return switch_on + previous.to(like.dtype) * (stay - switch_on)

    def sample_spike(self, sample_shape: Shape = ()) -> Bool[Tensor, "*sample frame field"]:
        """Draw which fields are on in each frame."""
        length, num_fields = self.event_shape
        like = self.stay.new_zeros(torch.Size(sample_shape) + self.batch_shape + (num_fields,))
        previous, spikes = None, []
        unit = torch.distributions.Normal(torch.zeros_like(like), 1.0)
        afresh = SpikeAndSlab(self._logits(None, like), unit, reject_zero=self.reject_zero)
        for _ in range(length):
            spike = torch.rand_like(like) < torch.sigmoid(self._logits(previous, like))
            if self.reject_zero:
                spike = torch.where(spike.any(-1, keepdim=True), spike, afresh.sample_spike())
            spikes.append(spike)
            previous = spike
        return torch.stack(spikes, -2)

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... frame field"]:
        """Draw speeds."""
        with torch.no_grad():
            spike = self.sample_spike(sample_shape)
            slab = self.slab.sample(spike.shape[:-1])
            slab = torch.cat([slab] * self.controls, -1)
            return spike * slab

    def log_prob(self, value: Float[Tensor, "... frame field"]) -> Float[Tensor, "..."]:
        """Return the log-density with respect to the mixed base measure of `SpikeAndSlab`."""
        on = value != 0
        first = self._log_transition(None, on[..., :1, :], value)
        rest = self._log_transition(on[..., :-1, :], on[..., 1:, :], value)
        log_spike = torch.cat([first, rest], -1)
        return (log_spike + log_slab(self.slab, value, self.controls)).sum(-1)

    def _log_transition(
        self, previous: Tensor | None, on: Tensor, like: Tensor
    ) -> Float[Tensor, "*batch frame"]:
        """Return the log-probability of a frame's spikes given those of the frame before."""
        logits = self._logits(previous, like[..., :1, :].expand_as(on))
        log_spike = torch.where(on, logsigmoid(logits), logsigmoid(-logits)).sum(-1)
        if not self.reject_zero:
            return log_spike
        initial = self._logits(None, logits)
        log_afresh = torch.where(on, logsigmoid(initial), logsigmoid(-initial)).sum(-1)
        log_afresh = log_afresh - log_normalizer_nonzero(initial)
        log_redrawn = logsigmoid(-logits).sum(-1) + log_afresh
        return torch.where(on.any(-1), torch.logaddexp(log_spike, log_redrawn), -torch.inf)

    def log_transition_table(
        self, like: Tensor
    ) -> tuple[Bool[Tensor, "mask field"], Float[Tensor, " mask"], Float[Tensor, "mask mask"]]:
        """Return all spike vectors but zero, their log-probability first, and given another.

        The second axis of the last table is the frame, its first the frame before.
        """
        num_fields = self.event_shape[-1]
        if num_fields > MAX_TABULATED_FIELDS:
            raise ConfigError(
                f"reject_zero tabulates 2^{num_fields} spike vectors; the limit is "
                f"{MAX_TABULATED_FIELDS} fields. Use fewer, or reject_zero=False."
            )
        masks = all_spikes(1, num_fields, reject_zero=True, device=like.device).squeeze(1)
        values = masks.to(like.dtype)
        first = self._log_transition(None, masks.unsqueeze(-2), values.unsqueeze(-2)).squeeze(-1)
        pairs = masks.expand(len(masks), -1, -1)
        table = self._log_transition(pairs.transpose(0, 1), pairs, values.expand_as(pairs))
        return masks, first, table


@register_kl(Independent, MarkovSpikeAndSlab)
def _kl_independent_markov(
    q: "Independent[SpikeAndSlab]", p: MarkovSpikeAndSlab
) -> Float[Tensor, "*batch"]:
    """KL of frames that are independent in the guide against a Markov prior.

    The prior's term of frame t is averaged over the guide's law of frame t - 1 in closed form, so
    that gradients reach the spikes of both frames.
    """
    guide = q.base_dist
    if not isinstance(guide, SpikeAndSlab):
        raise NotImplementedError
    if guide.controls != p.controls or guide.reject_zero != p.reject_zero:
        raise ConfigError("Guide and prior must agree on `controls` and `reject_zero`.")
    cross_entropy = _cross_entropy_rejecting if p.reject_zero else _cross_entropy
    guide_partition = softplus(guide.logits).sum((-1, -2))
    if guide.reject_zero:
        guide_partition = guide_partition + log_normalizer_nonzero(guide.logits).sum(-1)
    negative_entropy = (guide.probs * guide.logits).sum((-1, -2)) - guide_partition
    slab = guide.slab_probs * kl_divergence(guide.slab, p.slab)
    return negative_entropy + cross_entropy(guide, p) + slab.sum((-1, -2))


def _cross_entropy(guide: SpikeAndSlab, p: MarkovSpikeAndSlab) -> Float[Tensor, "*batch"]:
    """Return minus the guide's mean of the prior's log-probability of the spikes."""
    probs = guide.probs
    before = probs[..., :-1, :]

    def mean(initial: Tensor, stay: Tensor, switch_on: Tensor) -> Tensor:
        """Average, over the frame before, something that depends on the probability in force."""
        first = torch.zeros_like(probs[..., :1, :]) + initial
        return torch.cat([first, switch_on + before * (stay - switch_on)], -2)

    laws = p.initial, p.stay, p.switch_on
    logit = mean(*(torch.logit(law) for law in laws))
    partition = mean(*(-torch.log1p(-law) for law in laws))
    return (partition - probs * logit).sum((-1, -2))


def _cross_entropy_rejecting(guide: SpikeAndSlab, p: MarkovSpikeAndSlab) -> Float[Tensor, "*batch"]:
    """The same where frames with every spike off are drawn again: spike vectors are tabulated."""
    masks, first, table = p.log_transition_table(guide.logits)
    law = torch.softmax(guide.logits @ masks.to(guide.logits.dtype).T, -1)
    start = (law[..., 0, :] * first).sum(-1)
    steps = ((law[..., :-1, :] @ table) * law[..., 1:, :]).sum((-1, -2))
    return -(start + steps)

"""Spike and slab: a point mass at zero plus a density, with hard samples and an analytic KL."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl
from torch.distributions.constraints import Constraint
from torch.nn.functional import logsigmoid, softplus

from ..errors import ConfigError
from .categories import draw_category
from .estimators import Estimator, Proposals, propose, surrogate_spike
from .shapes import Shape

__all__ = ["SpikeAndSlab", "log_normalizer_nonzero"]


class SpikeAndSlab(TorchDistribution):
    """A vector of K speeds, each zero (spike off) or drawn from a slab (spike on).

    `value_k = spike_k * slab_k` with `spike_k ~ Bernoulli(sigmoid(logit_k))`. Densities are with
    respect to a mixed base measure for each coordinate, a point mass at zero plus Lebesgue measure.
    Samples are hard: exactly zero where the spike is off. Gradients reach the logits through the
    estimator named, whose bias and variance differ; the value of a loss is never relaxed.

    With `reject_zero`, the relaxed estimators relax each spike by its probability given that some
    spike is on. Measured at temperature 0.5, logits (-1, -2, -1.5) and speeds of 1: the gradient of
    the mean of `(sum v - 0.3)^2` is (.14, .17, .18), straight-through gives (.06, .13, .11) and
    hard concrete (.07, .13, .12). Where the exact gradient nearly cancels, as (.01, .02, .02) of
    `(sum v - 1.5)^2`, they give the wrong sign: -.03 each. "enumerate" is exact.

    Args:
        logits: Log-odds of each spike.
        slab: Element-wise distribution of the speeds that are on; its batch shape broadcasts
            against `(*batch, K / controls)`.
        controls: Number of spike vectors that share one slab: with 2, coordinates k and K/2 + k
            have the same slab value where both are on ("double control", Song et al. 2024).
        reject_zero: Whether the vector with every spike off is excluded.
        estimator: How gradients reach the logits, see `Estimator`.
        temperature: Temperature of the relaxed estimators; a tensor, so that schedules can move it.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True
    sparse = True

    def __init__(
        self,
        logits: Float[Tensor, "*batch field"],
        slab: Distribution,
        *,
        controls: int = 1,
        reject_zero: bool = False,
        estimator: Estimator = "straight_through",
        temperature: Tensor | float = 0.5,
        validate_args: bool | None = None,
    ) -> None:
        self.controls, self.reject_zero = controls, reject_zero
        self.estimator, self.temperature = estimator, temperature
        num_fields = logits.shape[-1]
        require_shareable(num_fields, controls)
        if reject_zero and estimator in ("disarm", "local_expectation"):
            raise ConfigError(
                f"estimator={estimator!r} switches single spikes off, which may leave none on. "
                "With reject_zero choose 'straight_through', 'hard_concrete' or 'enumerate'."
            )
        batch = torch.broadcast_shapes(logits.shape[:-1], slab.batch_shape[:-1])
        self.logits = logits.expand(*batch, num_fields)
        self.slab = slab.expand(torch.Size([*batch, num_fields // controls]))
        super().__init__(batch, torch.Size([num_fields]), validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "SpikeAndSlab":
        """Return the same distribution with more leading batch axes."""
        return SpikeAndSlab(
            self.logits.expand(*batch_shape, -1),
            self.slab,
            controls=self.controls,
            reject_zero=self.reject_zero,
            estimator=self.estimator,
            temperature=self.temperature,
            validate_args=False,
        )

    @property
    def probs(self) -> Float[Tensor, "*batch field"]:
        """Probability that each spike is on."""
        probs = torch.sigmoid(self.logits)
        if self.reject_zero:
            probs = probs / torch.exp(log_normalizer_nonzero(self.logits)).unsqueeze(-1)
        return probs

    @property
    def marginal_logits(self) -> Float[Tensor, "*batch field"]:
        """Log-odds that each spike is on: those of `probs`, also where these round to 0 or 1."""
        if not self.reject_zero:
            return self.logits
        log_off = logsigmoid(-self.logits).unsqueeze(-2)
        itself = torch.eye(self.logits.shape[-1], dtype=torch.bool, device=self.logits.device)
        log_others_off = log_off.masked_fill(itself, 0.0).sum(-1)
        tiny = torch.finfo(log_off.dtype).tiny  # a spike without others is on: finite, no gradient
        return self.logits - torch.log(-torch.expm1(log_others_off.clamp(max=-tiny)))

    @property
    def mean(self) -> Float[Tensor, "*batch field"]:
        """Mean speed, spikes off included."""
        return self.probs * self._repeat(self.slab.mean)

    @property
    def slab_probs(self) -> Float[Tensor, "*batch slab"]:
        """Probability that each slab is in use, that is, any spike that shares it is on."""
        off = torch.sigmoid(-self.logits).unflatten(-1, (self.controls, -1)).prod(-2)
        if self.reject_zero:
            return (1 - off) / torch.exp(log_normalizer_nonzero(self.logits)).unsqueeze(-1)
        return 1 - off

    def proposals(self, value: Tensor, event_ndim: int = 1) -> Proposals | None:
        """Return where the estimator wants the downstream evaluated, if at more than one point.

        Args:
            value: The sample drawn, `(*batch, *event)`.
            event_ndim: Number of trailing axes of `value` that make one event.
        """
        on = value != 0
        parts = value.unflatten(-1, (self.controls, -1))
        in_use = (parts != 0).any(-2)
        shared = parts.sum(-2) / (parts != 0).sum(-2).clamp(min=1)
        slab = self._repeat(torch.where(in_use, shared, self.slab.rsample()))
        return propose(
            self.estimator, on, slab, self.logits, event_ndim, reject_zero=self.reject_zero
        )

    def _repeat(self, per_slab: Tensor) -> Tensor:
        return torch.cat([per_slab] * self.controls, -1) if self.controls > 1 else per_slab

    def sample_spike(self, sample_shape: Shape = ()) -> Bool[Tensor, "... field"]:
        """Draw which spikes are on."""
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.logits.shape
            probs = torch.sigmoid(self.logits).expand(shape)
            spike = torch.rand(shape, dtype=probs.dtype, device=probs.device) < probs
            return self._without_zero_vectors(spike) if self.reject_zero else spike

    def _without_zero_vectors(self, spike: Tensor) -> Tensor:
        """Condition independent draws on not being all off.

        The first spike that is on is drawn from its exact law given that there is one; those before
        it are off and those after it stay independent.
        """
        log_off = logsigmoid(-self.logits)  # finite also where a probability rounds to one
        log_first = log_off.cumsum(-1) - log_off + logsigmoid(self.logits)
        first = draw_category(log_first.expand(spike.shape))
        index = torch.arange(spike.shape[-1], device=spike.device)
        return torch.where(index > first.unsqueeze(-1), spike, index == first.unsqueeze(-1))

    def rsample(self, sample_shape: Shape = ()) -> Float[Tensor, "... field"]:
        """Draw speeds; gradients reach the slab's parameters and, by the estimator, the logits."""
        return self.rsample_parts(sample_shape)[0]

    def rsample_parts(
        self, sample_shape: Shape = ()
    ) -> tuple[Float[Tensor, "... field"], Float[Tensor, "... field"]]:
        """Draw speeds together with slab values, which exist also where the spike is off."""
        hard = self.sample_spike(sample_shape).to(self.logits.dtype)
        slab = self._repeat(self.slab.rsample(torch.Size(sample_shape)))
        spike = surrogate_spike(self.estimator, hard, self.marginal_logits, self.temperature)
        return spike * slab, slab

    def log_prob(self, value: Float[Tensor, "... field"]) -> Float[Tensor, "..."]:
        """Return the log-density with respect to the mixed base measure."""
        on = value != 0
        log_spike = torch.where(on, logsigmoid(self.logits), logsigmoid(-self.logits)).sum(-1)
        if self.reject_zero:
            log_spike = log_spike - log_normalizer_nonzero(self.logits)
            log_spike = torch.where(on.any(-1), log_spike, -torch.inf)
        return log_spike + log_slab(self.slab, value, self.controls)


def require_shareable(num_fields: int, controls: int) -> None:
    """Raise `ConfigError` unless the spikes split into equal parts that can share slabs."""
    if controls < 1 or num_fields % controls:
        raise ConfigError(
            f"{num_fields} spikes cannot share slabs among {controls} controls: a positive number "
            "that divides that of the spikes is needed. Use controls=1, or other numbers of fields."
        )


def log_slab(
    slab: Distribution, value: Float[Tensor, "... field"], controls: int
) -> Float[Tensor, "..."]:
    """Return the slab's log-density of the speeds that are on, shared ones counted once."""
    parts = value.unflatten(-1, (controls, -1))
    on = parts != 0
    shared = parts.sum(-2) / on.sum(-2).clamp(min=1)
    log_prob = slab.log_prob(torch.where(on.any(-2), shared, slab.mean))
    log_prob = torch.where(on.any(-2), log_prob, 0.0)
    if controls > 1:
        agree = ((parts == shared.unsqueeze(-2)) | ~on).all(-2)
        log_prob = torch.where(agree, log_prob, -torch.inf)
    return log_prob.sum(-1)


def log_normalizer_nonzero(logits: Float[Tensor, "*batch field"]) -> Float[Tensor, "*batch"]:
    """Return the log-probability that at least one of independent spikes is on."""
    log_all_off = logsigmoid(-logits).sum(-1)
    return torch.log(-torch.expm1(log_all_off))


@register_kl(SpikeAndSlab, SpikeAndSlab)
def _kl_spike_and_slab(q: SpikeAndSlab, p: SpikeAndSlab) -> Float[Tensor, "*batch"]:
    """KL of two products of Bernoullis (or of two that exclude zero), plus that of the slabs.

    Both spike laws are exponential families in the logits, so the KL is linear in the mean spikes
    plus a difference of log-partition functions.
    """
    _require_same_support(q, p)
    partition_q, partition_p = softplus(q.logits).sum(-1), softplus(p.logits).sum(-1)
    if p.reject_zero:
        partition_q = partition_q + log_normalizer_nonzero(q.logits)
        partition_p = partition_p + log_normalizer_nonzero(p.logits)
    spike = (q.probs * (q.logits - p.logits)).sum(-1) - partition_q + partition_p
    return spike + (q.slab_probs * kl_divergence(q.slab, p.slab)).sum(-1)


def _require_same_support(q: SpikeAndSlab, p: SpikeAndSlab) -> None:
    if q.controls != p.controls or q.reject_zero != p.reject_zero:
        raise ConfigError(
            f"Guide and prior differ in support: controls={q.controls} and {p.controls}, "
            f"reject_zero={q.reject_zero} and {p.reject_zero}. Give both the same."
        )

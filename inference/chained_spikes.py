"""Spikes of a posterior that follow those of the frame before, as they do in a sticky prior."""

from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.distributions.constraints import Constraint

from ..zoo.distributions import MarkovSpikeAndSlab, SpikeAndSlab
from ..zoo.distributions.shapes import Shape

__all__ = ["ChainedSpikeAndSlab", "chain_of", "has_frames"]


def has_frames(law: Distribution) -> bool:
    """Return whether a law is of frames of speeds, spike and slab and independent of each other."""
    return (
        isinstance(law, Independent)
        and law.reinterpreted_batch_ndims == 1
        and isinstance(law.base_dist, SpikeAndSlab)
    )


class ChainedSpikeAndSlab(TorchDistribution):
    """A `(T, K)` array of speeds: each frame is spike and slab, given which were on before it.

    The log-odds of spike k of frame t are `logits_tk`, plus `following_tk` where spike k of frame
    t - 1 is on.

    Args:
        frames: The law of each frame if none was on before it; its last batch axis is that of
            frames.
        following: What is added where one was; of the first frame it does not matter.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = False
    sparse = True

    def __init__(
        self, frames: SpikeAndSlab, following: Float[Tensor, "*#batch time field"]
    ) -> None:
        self.frames, self.following = frames, following
        self.logits, self.slab, self.controls = frames.logits, frames.slab, frames.controls
        shape = frames.logits.shape
        super().__init__(shape[:-2], shape[-2:], validate_args=False)

    def expand(self, batch_shape: Shape, _instance: object = None) -> "ChainedSpikeAndSlab":
        """Return the same distribution with other batch axes."""
        shape = torch.Size(batch_shape)
        frames = self.frames.expand(shape + self.event_shape[:1])
        return ChainedSpikeAndSlab(frames, self.following.expand(shape + self.event_shape))

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "... time field"]:
        """Draw speeds, frame after frame."""
        with torch.no_grad():
            whole, spikes = self.expand(torch.Size(sample_shape) + self.batch_shape), []
            pairs = zip(whole.logits.unbind(-2), whole.following.unbind(-2), strict=True)
            before = torch.zeros_like(whole.logits[..., 0, :])
            for logits, following in pairs:
                unit = Normal(torch.zeros_like(logits), 1.0)
                frame = SpikeAndSlab(
                    logits + before * following, unit, reject_zero=self.frames.reject_zero
                )
                before = frame.sample_spike().to(logits.dtype)
                spikes.append(before)
            slab = torch.cat([whole.slab.sample()] * self.controls, -1)
            return torch.stack(spikes, -2) * slab

    def log_prob(self, value: Float[Tensor, "... time field"]) -> Float[Tensor, "..."]:
        """Return the log-density with respect to the mixed base measure of `SpikeAndSlab`."""
        on = (value != 0).to(self.logits.dtype)
        before = torch.cat([torch.zeros_like(on[..., :1, :]), on[..., :-1, :]], -2)
        frames = SpikeAndSlab(
            self.logits + before * self.following,
            self.slab,
            controls=self.controls,
            reject_zero=self.frames.reject_zero,
            validate_args=False,
        )
        return frames.log_prob(value).sum(-1)


def chain_of(
    logits: Float[Tensor, "... time field"], prior: MarkovSpikeAndSlab
) -> tuple[Float[Tensor, "... time field"], Float[Tensor, "... time field"]]:
    """Return the posterior that independent spikes stand for, as a chain.

    Independent spikes that are closest to the posterior under a sticky prior say what the data add
    to each log-odds: `logits` less what the prior says on average over the frames before and after
    (the fixed point of coordinate ascent). With that added to the prior, the posterior of the
    spikes is a chain again, whose log-odds come from the last frame backwards.

    Args:
        logits: Log-odds of the independent spikes.
        prior: Law of the spikes; without `reject_zero`.

    Returns:
        Log-odds of each spike if it was off before, and what is added to them if it was on.
    """
    start, off, on = (torch.logit(p) for p in (prior.initial, prior.switch_on, prior.stay))
    log_on = (prior.stay / prior.switch_on).log()
    log_off = torch.log1p(-prior.stay) - torch.log1p(-prior.switch_on)
    probs = torch.sigmoid(logits)
    first = (start + torch.zeros_like(logits[..., :1, :]), off + (on - off) * probs[..., :-1, :])
    coming = log_off + (log_on - log_off) * probs[..., 1:, :]
    evidence = logits - torch.cat(first, -2)
    evidence[..., :-1, :] -= coming
    ahead = [torch.zeros_like(logits[..., 0, :])]
    for after in evidence[..., 1:, :].flip(-2).unbind(-2):
        odds = after + ahead[-1]
        stayed, went = (
            torch.logaddexp(torch.log1p(-p), p.log() + odds) for p in (prior.stay, prior.switch_on)
        )
        ahead.append(stayed - went)
    found = evidence + torch.stack(ahead[::-1], -2)
    found = found + torch.cat([first[0], off + torch.zeros_like(first[1])], -2)
    following = (on - off).expand_as(found).clone()
    following[..., 0, :] = 0.0
    return found, following

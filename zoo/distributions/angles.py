"""Angles: any at all, and those that are known up to a few arcs of the circle."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, Uniform, constraints
from torch import Tensor
from torch.distributions import register_kl
from torch.distributions.constraints import Constraint
from torch.special import ndtr, ndtri

from .categories import draw_category
from .estimators import Proposals
from .shapes import Shape

__all__ = ["AngleArcs", "UniformAngle", "wrap_angle"]

_TURN = 2 * math.pi


def wrap_angle(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the same angle from -pi, included, to pi, excluded."""
    wrapped = torch.remainder(angle + math.pi, _TURN) - math.pi
    return torch.where(wrapped >= math.pi, wrapped - _TURN, wrapped)  # what rounding has left


class UniformAngle(Uniform):
    """An angle from -pi to pi, each as likely as any other."""

    @classmethod
    def like(cls, tensor: Tensor) -> "UniformAngle":
        """Return that of one angle, on the device and of the type of a tensor."""
        half = tensor.new_tensor(math.pi)
        return cls(-half, half)


class AngleArcs(TorchDistribution):
    """An angle in one of K equal arcs of the circle, and within it Normal, cut off at both ends.

    Arc k is centred at 2 pi k / K. As a guide's law the arc is summed out: everything downstream is
    evaluated at a draw from each of them, side by side (`proposals`), so that a posterior of
    several modes costs no more noise than one of a single mode.

    Args:
        logits: Log-odds of the arcs, up to a constant.
        offset: Mode in each arc from its centre, in radians; it may lie outside, a few times the
            standard deviation from the arc.
        scale: Standard deviation in each, in radians, were it not cut off.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "logits": constraints.real_vector,
        "offset": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    support = constraints.interval(-math.pi, math.pi)

    def __init__(
        self,
        logits: Float[Tensor, "*#batch arc"],
        offset: Float[Tensor, "*#batch arc"],
        scale: Float[Tensor, "*#batch arc"],
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.offset, self.scale = torch.broadcast_tensors(logits, offset, scale)
        self.width = _TURN / logits.shape[-1]
        super().__init__(self.logits.shape[:-1], validate_args=validate_args)

    def expand(  # type: ignore[override]  # torch leaves this method untyped
        self, batch_shape: torch.Size, _instance: object = None
    ) -> "AngleArcs":
        """Return the same distribution with more leading batch axes."""
        logits = self.logits.expand(*batch_shape, -1)
        return AngleArcs(logits, self.offset, self.scale, validate_args=False)

    @property
    def probs(self) -> Float[Tensor, "*batch arc"]:
        """Probability of each arc."""
        return self.logits.softmax(-1)

    @property
    def log_mass(self) -> Float[Tensor, "*batch arc"]:
        """Return the logarithm of the integral of exp(-square / 2) over each arc."""
        low, high = self._ends()
        return (self.scale * (ndtr(high) - ndtr(low))).log() + 0.5 * math.log(_TURN)

    def sample(self, sample_shape: Shape = ()) -> Float[Tensor, "..."]:
        """Draw an arc, and an angle in it."""
        with torch.no_grad():
            many = self.expand(torch.Size(sample_shape) + self.batch_shape)
            arc = draw_category(many.logits).unsqueeze(-1)
            return many._in_each_arc().gather(-1, arc).squeeze(-1)

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the log-density of angles."""
        places = torch.remainder(value / self.width + 0.5, self.logits.shape[-1])
        arc = places.floor().long().clamp(max=self.logits.shape[-1] - 1)
        offset = (places - arc - 0.5) * self.width
        log_density = self.logits.log_softmax(-1) - self.log_mass
        wanted = torch.broadcast_shapes(value.shape, self.batch_shape)
        arc = arc.expand(wanted).unsqueeze(-1)
        log_density, mode, scale = (
            x.expand(*wanted, -1).gather(-1, arc).squeeze(-1)
            for x in (log_density, self.offset, self.scale)
        )
        return log_density - 0.5 * ((offset - mode) / scale).square()

    def proposals(self, value: Tensor, event_ndim: int = 0) -> Proposals:
        """Return a draw from each arc; the results are averaged by the arcs' probabilities."""
        del value, event_ndim
        weight = self.probs.movedim(-1, 0)
        return Proposals(self._in_each_arc().movedim(-1, 0), lambda found: (weight * found).sum(0))

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Return the entropy in nats."""
        low, high = self._ends()
        lost = low * _density(low) - high * _density(high)
        within = self.log_mass + 0.5 + lost / (2 * (ndtr(high) - ndtr(low)))
        probs = self.probs
        chosen = torch.where(probs > 0, -probs * self.logits.log_softmax(-1), 0.0)
        return (chosen + probs * within).sum(-1)

    def _ends(self) -> tuple[Tensor, Tensor]:
        """Return where arcs begin and end, in standard deviations from the mode."""
        half = self.width / 2
        return (-half - self.offset) / self.scale, (half - self.offset) / self.scale

    def _in_each_arc(self) -> Float[Tensor, "*batch arc"]:
        """Draw an angle from each arc, with gradients to modes and scales."""
        low, high = map(ndtr, self._ends())
        tiny = torch.finfo(low.dtype).eps
        place = (low + (high - low) * torch.rand_like(low)).clamp(tiny, 1 - tiny)
        half = self.width / 2
        offset = (self.offset + self.scale * ndtri(place)).clamp(-half, half)
        centre = torch.arange(offset.shape[-1], device=offset.device) * self.width
        return wrap_angle(centre + offset)


def _density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x.square()) / math.sqrt(_TURN)


@register_kl(AngleArcs, UniformAngle)
def _kl_from_uniform(q: AngleArcs, p: UniformAngle) -> Float[Tensor, "*batch"]:
    """Return how much less is left open than by an angle of which nothing is known."""
    del p
    return math.log(_TURN) - q.entropy()

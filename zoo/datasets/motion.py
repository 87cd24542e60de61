"""The law of motion of synthetic sequences: which factors move when, how fast and from where."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from ..errors import DataError
from .spikes import sticky_spikes

__all__ = ["FACTORS", "Factor", "Motion", "Trajectories"]


@dataclasses.dataclass(frozen=True)
class Factor:
    """A factor of the world that can move.

    Attributes:
        unit: Unit of the pose; speeds are in this unit per frame.
        step: Speed that counts as one, in `unit` per frame.
    """

    unit: str
    step: float


FACTORS: dict[str, Factor] = {
    "rotation": Factor("degree", 20.0),
    "scale": Factor("log-scale", math.log(1.1)),
    "hue": Factor("degree of hue", 20.0),
    "translation_x": Factor("pixel", 1.0),
    "translation_y": Factor("pixel", 1.0),
    "brightness": Factor("log-brightness", math.log(0.9)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """Sampled motion of N sequences with T transitions and F factors.

    Attributes:
        spike: Whether a factor moves in a transition.
        multiplier: Speed in reference speeds, 0 where the spike is off.
        speed: Speed in the factor's unit per frame, 0 where the spike is off.
        pose: Accumulated parameter of every frame in the factor's unit.
        dims: Names of the axes of each, as a model has them.
    """

    dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "spike": ("sequence", "time", "factor"),
        "multiplier": ("sequence", "time", "factor"),
        "speed": ("sequence", "time", "factor"),
        "pose": ("sequence", "frame", "factor"),
    }

    spike: Bool[Tensor, "sequence transition factor"]
    multiplier: Float[Tensor, "sequence transition factor"]
    speed: Float[Tensor, "sequence transition factor"]
    pose: Float[Tensor, "sequence time factor"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """Sparse motion of several factors, after Song et al., Sparse Transformation Analysis.

    Every factor has a sticky on-off chain (see `sticky_spikes`) and, while it is on, a speed: a
    multiplier times the factor's reference step.

    Attributes:
        transforms: Names of the factors, keys of `FACTORS`.
        length: Number of frames; there are length - 1 transitions.
        p_on: Probability that a resting factor starts to move.
        p_stay: Probability that a moving factor goes on.
        p_initial: Probability that a factor moves in the first transition; p_on when None.
        reject_all_zero: Redraw spike vectors in which nothing moves.
        one_factor: Move one factor of each sequence, drawn evenly, in every transition: the data of
            flow-factorized learning. The chains' options have no effect then.
        speed: Lowest and highest multiplier of the uniform slab.
        speed_per: Draw a new speed for each frame, or one for each factor of a sequence.
        slab: "uniform" over `speed`, or "laplace": |Laplace(1, 0.1)|, as in the reference.
        signed: Draw the direction of every run of active transitions by a fair coin.
        steps: Reference steps that replace those of `FACTORS`.
        start: Range of the uniformly drawn first pose of a factor, in its unit; 0 when missing.

    Raises:
        DataError: A name is unknown or a value is out of range.
    """

    transforms: tuple[str, ...] = ("rotation", "scale")
    length: int = 9
    p_on: float = 0.1
    p_stay: float = 0.9
    p_initial: float | None = None
    reject_all_zero: bool = True
    one_factor: bool = False
    speed: tuple[float, float] = (0.5, 1.5)
    speed_per: Literal["frame", "sequence"] = "frame"
    slab: Literal["uniform", "laplace"] = "uniform"
    signed: bool = False
    steps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    start: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def units(self) -> dict[str, str]:
        """Unit of the pose of each factor."""
        return {name: FACTORS[name].unit for name in self.transforms}

    @property
    def step(self) -> Float[Tensor, " factor"]:
        """Reference step of each factor, in its unit per frame."""
        return torch.tensor([self.steps.get(name, FACTORS[name].step) for name in self.transforms])

    def sample(self, count: int, generator: Generator) -> Trajectories:
        """Draw the motion of `count` sequences."""
        spike = self._spikes(count, generator)
        multiplier = self._multipliers(spike, generator)
        speed = multiplier * self.step
        ranges = torch.tensor([self.start.get(name, (0.0, 0.0)) for name in self.transforms])
        uniform = torch.rand(count, 1, len(self.transforms), generator=generator)
        first = ranges[:, 0] + (ranges[:, 1] - ranges[:, 0]) * uniform
        pose = torch.cat([first, first + speed.cumsum(1)], dim=1)
        return Trajectories(spike=spike, multiplier=multiplier, speed=speed, pose=pose)

    def _spikes(
        self, count: int, generator: Generator
    ) -> Bool[Tensor, "sequence transition factor"]:
        factors = len(self.transforms)
        if self.one_factor:
            chosen = torch.randint(factors, (count, 1), generator=generator)
            return (chosen == torch.arange(factors)).unsqueeze(1).repeat(1, self.length - 1, 1)
        return sticky_spikes(
            (count, self.length - 1, factors),
            p_on=self.p_on,
            p_stay=self.p_stay,
            p_initial=self.p_initial,
            reject_all_zero=self.reject_all_zero,
            generator=generator,
        )

    def _multipliers(
        self, spike: Bool[Tensor, "sequence transition factor"], generator: Generator
    ) -> Float[Tensor, "sequence transition factor"]:
        count, transitions, factors = spike.shape
        drawn = transitions if self.speed_per == "frame" else 1
        uniform = torch.rand(count, drawn, factors, generator=generator)
        if self.slab == "uniform":
            low, high = self.speed
            value = low + (high - low) * uniform
        else:
            centred = uniform - 0.5
            tail = (1 - 2 * centred.abs()).clamp_min(torch.finfo(torch.float32).tiny)
            value = (1 - 0.1 * centred.sign() * tail.log()).abs()
        if self.signed:
            before = torch.cat([torch.zeros_like(spike[:, :1]), spike[:, :-1]], dim=1)
            run = (spike & ~before).long().cumsum(1)
            coin = torch.rand(count, transitions + 1, factors, generator=generator) < 0.5
            value = value * (1 - 2 * coin.float()).gather(1, run)
        return value * spike


def _check(motion: Motion) -> None:
    if not motion.transforms:
        raise DataError(f"transforms is empty. Choose some of: {', '.join(FACTORS)}.")
    for name in motion.transforms:
        check_name(name, FACTORS, "transform")
    if len(set(motion.transforms)) != len(motion.transforms):
        raise DataError(f"transforms={motion.transforms} names a factor twice. Name each once.")
    for option in ("steps", "start"):
        for name in getattr(motion, option):
            check_name(name, motion.transforms, f"key of {option}")
    if motion.length < 2:
        raise DataError(
            f"length={motion.length}: a sequence needs at least 2 frames, or nothing moves. "
            "Give length=2 or more."
        )
    for option in ("p_on", "p_stay", "p_initial"):
        value = getattr(motion, option)
        if value is not None and not 0 <= value <= 1:
            raise DataError(f"{option}={value} is no probability. Choose a value in [0, 1].")
    low, high = motion.speed
    if not 0 <= low <= high < math.inf:
        raise DataError(f"speed={motion.speed}: expected 0 <= lowest <= highest multiplier.")
    for name, step in motion.steps.items():
        if step == 0 or not math.isfinite(step):
            raise DataError(f"steps[{name!r}]={step}: expected a finite step other than 0.")
    for name, (first, last) in motion.start.items():
        if not -math.inf < first <= last < math.inf:
            raise DataError(f"start[{name!r}]={(first, last)}: expected lowest <= highest pose.")
    check_name(motion.speed_per, ("frame", "sequence"), "speed_per")
    check_name(motion.slab, ("uniform", "laplace"), "slab")


def check_name(name: str, known: Mapping[str, object] | tuple[str, ...], what: str) -> None:
    """Raise `DataError` that names the nearest known name unless `name` is known."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(known)}.")

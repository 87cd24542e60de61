"""A guide whose posterior of each datum was moved."""

import copy
import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pyro.distributions import MaskedDistribution, TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, OneHotCategorical
from torch.distributions.constraints import Constraint

from ..zoo.distributions.shapes import Shape
from ..zoo.errors import DataError
from .chained_spikes import ChainedSpikeAndSlab, has_frames
from .coordinates import Coordinates, as_rows, from_rows, mask_of
from .local_latents import LocalLatent

__all__ = ["RefinedGuide"]


class RefinedGuide(nn.Module):
    """A guide whose posteriors of some data were moved; it takes these data only.

    The coordinates of a datum's latents, standardised by their mean and deviation under the guide,
    are a vector `e`. The refined guide says `shift + exp(log_scale) * e + coupling e` in its place;
    `coupling` is strictly lower triangular, in the order in which the guide draws. Log-odds of
    spikes, and of discrete latents, are moved by a number each; those of spikes in frames by
    another one, `following`, where the same spike was on in the frame before. All else stays as in
    the guide.

    Args:
        guide: The guide.
        latents: Those that each datum has, in the order of the guide.
        batch: The data, by name.
        centre: Mean of all coordinates under the guide.
        width: Their standard deviation.

    Attributes:
        gain: How many nats the ELBO of each datum is above that of the guide.
    """

    centre: Tensor
    width: Tensor
    gain: Tensor

    def __init__(
        self,
        guide: nn.Module,
        latents: Mapping[str, LocalLatent],
        batch: Mapping[str, Tensor],
        centre: Float[Tensor, "datum coordinate"],
        width: Float[Tensor, "datum coordinate"],
    ) -> None:
        super().__init__()
        self.guide, self.latents, self._names = guide, dict(latents), sorted(batch)
        self._row_of = {key: row for row, key in enumerate(self._keys(batch))}
        count, size = centre.shape
        self.register_buffer("centre", centre)
        self.register_buffer("width", width)
        self.register_buffer("gain", centre.new_zeros(count))
        self.shift = nn.Parameter(centre.new_zeros(count, size))
        self.log_scale = nn.Parameter(centre.new_zeros(count, size))
        self.coupling = nn.Parameter(centre.new_zeros(count, size, size))
        logits = max((latent.logits.stop for latent in latents.values()), default=0)
        self.logits = nn.Parameter(centre.new_zeros(count, logits))
        self.following = nn.Parameter(centre.new_zeros(count, logits))

    def forward(self, **arguments: Any) -> None:  # noqa: ANN401 - those of the guide
        """Draw the latents of some of the data.

        Args:
            **arguments: Observed tensors by name, and what else the guide takes.

        Raises:
            DataError: The guide was not refined for one of the data.
        """
        with _Moving(self, self._rows(arguments)):
            self.guide(**arguments)

    def keep(self, gain: Float[Tensor, " datum"]) -> None:
        """Note what was gained; posteriors that gained nothing become those of the guide again."""
        better = gain > 0
        with torch.no_grad():
            self.gain.copy_(torch.where(better, gain, 0.0))
            for moved in self.moved():
                moved[~better] = 0.0

    def moved(self) -> tuple[nn.Parameter, ...]:
        """Return what moves posteriors: all zero where they are the guide's."""
        return self.shift, self.log_scale, self.coupling, self.logits, self.following

    def _rows(self, batch: Mapping[str, Tensor]) -> Int[Tensor, " datum"]:
        rows = [self._row_of.get(key) for key in self._keys(batch)]
        if None in rows:
            raise DataError(
                f"Found data that this guide was not refined for: {rows.count(None)} of "
                f"{len(rows)}. Give those that `refine` was given, or refine the guide for these."
            )
        return torch.tensor(rows, device=self.centre.device)

    def _keys(self, batch: Mapping[str, Tensor]) -> list[bytes]:
        """Return what tells one datum from another."""
        arrays = [batch[name].detach().cpu().contiguous().numpy() for name in self._names]
        return [
            hashlib.blake2b(b"".join(array.tobytes() for array in datum)).digest()
            for datum in zip(*arrays, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class _Affine:
    """How the standardised coordinates of a latent are moved, given those of latents before it."""

    centre: Float[Tensor, "datum coordinate"]
    width: Float[Tensor, "datum coordinate"]
    shift: Float[Tensor, "datum coordinate"]
    log_scale: Float[Tensor, "datum coordinate"]
    own: Float[Tensor, "datum coordinate coordinate"]
    before: Float[Tensor, "datum coordinate earlier"]

    @classmethod
    def of(cls, guide: RefinedGuide, rows: Tensor, where: slice) -> "_Affine":
        coupling = guide.coupling[rows, where]
        return cls(
            centre=guide.centre[rows, where],
            width=guide.width[rows, where],
            shift=guide.shift[rows, where],
            log_scale=guide.log_scale[rows, where],
            own=coupling[..., where].tril(-1),
            before=coupling[..., : where.start],
        )

    def only(self, counted: Bool[Tensor, "datum coordinate"]) -> "_Affine":
        """Return the same, but that what a mask leaves out of densities stays where it is."""
        rows = counted.unsqueeze(-1)
        return dataclasses.replace(
            self,
            shift=torch.where(counted, self.shift, 0.0),
            log_scale=torch.where(counted, self.log_scale, 0.0),
            own=torch.where(rows, self.own, 0.0),
            before=torch.where(rows, self.before, 0.0),
        )

    def stopped(self) -> "_Affine":
        return _Affine(*(getattr(self, name).detach() for name in self.__dataclass_fields__))

    def standardised(
        self, point: Tensor, used: Tensor
    ) -> Float[Tensor, "particle datum coordinate"]:
        return torch.where(used, (point - self.centre) / self.width, 0.0)

    def move(self, noise: Tensor, earlier: Tensor) -> Float[Tensor, "particle datum coordinate"]:
        moved = self.shift + self.log_scale.exp() * noise
        moved = moved + _times(self.own, noise) + _times(self.before, earlier)
        return self.centre + self.width * moved

    def undo(
        self, point: Tensor, used: Tensor, earlier: Tensor, sparse: bool
    ) -> Float[Tensor, "particle datum coordinate"]:
        """Return the noise behind moved coordinates; what is not used has none."""
        moved = (point - self.centre) / self.width - self.shift - _times(self.before, earlier)
        matrix = self.own + torch.diag_embed(self.log_scale.exp())
        if not sparse:
            solved = torch.linalg.solve_triangular(matrix, moved.permute(1, 2, 0), upper=False)
            return solved.permute(2, 0, 1)
        itself = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
        matrix = torch.where(used.unsqueeze(-2) | itself, matrix, 0.0)
        solved = torch.linalg.solve_triangular(matrix, moved.unsqueeze(-1), upper=False)
        return torch.where(used, solved.squeeze(-1), 0.0)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


@dataclass(eq=False)
class _Step:
    """One latent in a run of a refined guide.

    The noise before it is known twice: as it was drawn, and as it is read off the values with all
    that moves them held fixed.
    """

    affine: _Affine
    coordinates: Coordinates
    drawn: Float[Tensor, "particle datum earlier"]
    seen: Float[Tensor, "particle datum earlier"]
    noise: Float[Tensor, "particle datum coordinate"] | None = None
    value: Tensor | None = None

    def undo(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        point, used = self.coordinates.read(value)
        noise = self.affine.stopped().undo(point, used, self.seen, self.coordinates.sparse)
        if self.noise is not None and value is self.value:  # known without rounding
            noise = self.noise + noise - noise.detach()
        return point, used, noise


class _Moved(TorchDistribution):
    """The law of a latent under a refined guide.

    Gradients of its density reach the draw, not what moves it: this estimator (Roeder, Wu,
    Duvenaud, "Sticking the landing", 2017, arXiv:1703.09194) has no variance where the guide is
    exact.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = True

    def __init__(self, base: TorchDistribution, step: _Step) -> None:
        self.base, self.step = base, step
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:  # noqa: ANN401 - torch says that there may be none
        return self.base.support

    def expand(self, batch_shape: Shape, _instance: object = None) -> "_Moved":
        return _Moved(self.base.expand(torch.Size(batch_shape)), self.step)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        step = self.step
        with torch.no_grad():
            template = self.base.sample(torch.Size(sample_shape))
            step.noise = step.affine.standardised(*step.coordinates.read(template))
        step.value = step.coordinates.write(step.affine.move(step.noise, step.drawn), template)
        return step.value

    def log_prob(self, value: Tensor) -> Tensor:
        affine, coordinates = self.step.affine.stopped(), self.step.coordinates
        point, used, noise = self.step.undo(value)
        unmoved = affine.centre + affine.width * noise
        log_scale = torch.where(used, affine.log_scale, 0.0)
        return (
            self.base.log_prob(coordinates.write(unmoved, value))
            + coordinates.log_volume(unmoved, value)
            - coordinates.log_volume(point, value)
            - coordinates.summed(log_scale, value)
        )


class _Moving(Messenger):
    """Puts moved laws in the place of those of a guide."""

    def __init__(self, guide: RefinedGuide, rows: Int[Tensor, " datum"]) -> None:
        super().__init__()
        self._guide, self._rows = guide, rows
        self._steps: dict[str, _Step] = {}
        self._drawn = self._seen = guide.centre.new_zeros(1, len(rows), 0)

    def _pyro_sample(self, message: Any) -> None:  # noqa: ANN401 - a message of Pyro
        latent = self._guide.latents.get(message["name"])
        if latent is None:
            return
        if latent.logits.start < latent.logits.stop:
            law, guide = message["fn"], self._guide
            draws = len(law.batch_shape) - (latent.axes - len(law.event_shape))
            change, following = (
                each[self._rows, latent.logits] for each in (guide.logits, guide.following)
            )
            message["fn"] = _with_logits(law, change, following, draws, latent.row)
        if latent.coordinates is not None:
            affine = _Affine.of(self._guide, self._rows, latent.where)
            if (mask := mask_of(message["fn"])) is not None:
                draws = mask.ndim - latent.axes
                affine = affine.only(as_rows(mask.to(affine.centre.device), draws, latent.row)[0])
            step = _Step(affine, latent.coordinates, self._drawn, self._seen)
            self._steps[message["name"]] = step
            message["fn"] = _Moved(message["fn"], step)

    def _pyro_post_sample(self, message: Any) -> None:  # noqa: ANN401
        if step := self._steps.get(message["name"]):
            seen = step.undo(message["value"])[2]
            drawn = seen.detach() if step.noise is None else step.noise
            particles = (len(seen), -1, -1)
            self._seen = torch.cat([self._seen.expand(*particles), seen], -1)
            self._drawn = torch.cat([self._drawn.expand(*particles), drawn], -1)


def _with_logits(
    law: Any,  # noqa: ANN401 - a distribution with log-odds
    change: Float[Tensor, "datum logit"],
    following: Float[Tensor, "datum logit"],
    draws: int,
    row: int,
) -> Any:  # noqa: ANN401
    """Return the same law with other log-odds."""
    if isinstance(law, Independent):
        base = _with_logits(law.base_dist, change, following, draws, row)
        if has_frames(law):
            return ChainedSpikeAndSlab(
                base, from_rows(following, base.logits.shape[draws:], 0, row)
            )
        return type(law)(base, law.reinterpreted_batch_ndims)
    if isinstance(law, MaskedDistribution):
        return _with_logits(law.base_dist, change, following, draws, row).mask(law._mask)
    logits = law.logits + from_rows(change, law.logits.shape[draws:], 0, row)
    if isinstance(law, Categorical | OneHotCategorical):
        return type(law)(logits=logits)
    other = copy.copy(law)
    vars(other).pop("probs", None)  # where it was made of the log-odds that were
    other.logits = logits
    return other.expand(law.batch_shape)

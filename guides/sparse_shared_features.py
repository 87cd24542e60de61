"""Guide of sparse shared features: reads heads off the labelled points of each task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Bool, Float, Int
from pyro.distributions import Delta, Normal, TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..zoo.config import AbstractConfig
from ..zoo.distributions import MixedLabels
from ..zoo.errors import ConfigError
from ..zoo.nets.points import PointEncoder
from ..zoo.sparse_shared_features import TASK, SparseSharedFeatures
from .label_evidence import Heads
from .task_heads import LabelledPoints, NormalHeads, PointHeads, heads_for

__all__ = ["SparseSharedFeaturesGuide"]

_MINIMUM_SCALE = 1e-3
_MOMENTUM = 0.02
_USE, _SKILL = "use of feature", "skill of heads"
_LEAST_USE = 0.01
_FALL = 0.1  # of skill
_WATCHED = 64  # tasks
_TINY = 1e-12


class SparseSharedFeaturesGuide(nn.Module):
    """An encoder reads features off each point; heads follow from these by optimisation.

    No network has to learn how to learn a head: given features, the best posteriors of all heads
    are found by a few rounds of closed updates, differently for each prior (see `normal_heads`,
    `spiky_heads`), or the best heads by proximal steps (`ProximalHeads`). Since they are the best,
    their slope counts for nothing, and no gradient goes through the rounds. Labels of a task alone
    tell its head, so that an unseen task costs one pass.

    Args:
        model: The model whose latents it infers.
        config: Its own sizes.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the guide.

        Attributes:
            hidden_dim: Width of the encoder's hidden layers.
            num_layers: Number of these.
            rounds: Rounds of updates of heads.
            steps: Proximal steps, where heads are points.
            traced: Further ones through which gradients go.
        """

        hidden_dim: int = 128
        num_layers: int = 2
        rounds: int = 6
        steps: int = 100
        traced: int = 8

        def check(self) -> None:
            """Refuse counts below one."""
            for name in ("hidden_dim", "num_layers", "rounds", "steps", "traced"):
                self.require(getattr(self, name) >= 1, name, "at least 1")

    def __init__(self, model: SparseSharedFeatures, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or self.Config()
        object.__setattr__(self, "model", model)  # whose parameters are not the guide's
        known = model.config
        self.points = known.variant != "generative"
        self.encoder = PointEncoder(
            known.input_shape,
            known.num_features * (1 if self.points else 2),
            known.network,
            config.hidden_dim,
            config.num_layers,
        )
        self.norm: nn.Module | None = None
        if self.points:  # nothing else keeps features from growing and weights from shrinking
            self.norm = nn.BatchNorm1d(known.num_features, affine=False, momentum=_MOMENTUM)
        self.tasks = heads_for(
            model, rounds=config.rounds, steps=config.steps, traced=config.traced
        )

    model: SparseSharedFeatures

    def read(
        self, inputs: Float[Tensor, "task point ..."], observed: Bool[Tensor, "task point"]
    ) -> tuple[Float[Tensor, "task point feature"], Float[Tensor, "task point feature"]]:
        """Return mean and standard deviation of the features of each point."""
        found: Tensor = self.encoder(inputs)
        if self.norm is None:
            location, scale = found.chunk(2, -1)
            return location, softplus(scale) + _MINIMUM_SCALE
        if self.training:  # padding has no part in the statistics
            rows = observed.unsqueeze(-1)
            location = torch.zeros_like(found).masked_scatter(rows, self.norm(found[observed]))
        else:
            location = self.norm(found.flatten(0, 1)).unflatten(0, found.shape[:2])
        return location, torch.zeros_like(location)

    def feature_posterior(
        self,
        location: Float[Tensor, "task point feature"],
        scale: Float[Tensor, "task point feature"],
        observed: Bool[Tensor, "task point"],
    ) -> TorchDistribution:
        """Return q(features | inputs)."""
        if self.points:
            return Delta(location, event_dim=2)
        return Normal(location, scale).to_event(1).mask(observed).to_event(1)

    def heads(
        self,
        inputs: Float[Tensor, "task point ..."],
        labels: Float[Tensor, "task point"],
        observed: Bool[Tensor, "task point"],
        classes: Int[Tensor, " task"],
        *,
        prices: tuple[float, float] | None = None,
    ) -> Heads:
        """Return posteriors of heads whose prior is Laplace or Normal, as Normals.

        Args:
            inputs: What points are made of.
            labels: Their labels.
            observed: Which labels there are.
            classes: Kind of each task.
            prices: Of weights and of sharing among these tasks, as `sparsity` and `sharing` in the
                model's configuration, for heads as sparse as those of training. None: as training
                has them now; in evaluation mode none, but where heads are points.

        Raises:
            ConfigError: Heads are of another kind.
        """
        if not isinstance(self.tasks, NormalHeads | PointHeads):
            raise ConfigError(
                f"Found heads={self.model.config.heads!r} of variant="
                f"{self.model.config.variant!r}, which are no Normals. Draw them by `posterior`."
            )
        points = LabelledPoints(*self.read(inputs, observed), labels, observed, classes)
        return self.tasks.posterior(points, prices)

    @torch.no_grad()
    def watched(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """Return what is worth watching in training: the use of each feature, and skill.

        Heads are read off every other label. Use of a feature is its share in the absolute weights
        of a task, on average. Skill is how much better heads tell the labels that they have not
        seen than the mean of these would: the share of the variance explained, of numbers and of
        which class it is (Brier skill score); at least -1.

        Args:
            batch: Held-out tasks.
        """
        some = {name: tensor[:_WATCHED] for name, tensor in batch.items()}
        observed, classes = some["observed"], some["classes"]
        told = observed & (observed.cumsum(1) % 2 == 1)
        features, scale = self.read(some["inputs"], told)
        points = LabelledPoints(features, scale, some["labels"], told, classes)
        means = self.tasks.means(points)
        weight, bias = means[..., :-1], means[..., -1]
        size = self.model.sizes(weight, classes)
        share = size / size.sum(-1, keepdim=True).clamp(min=_MINIMUM_SCALE)
        law = self.model.label_likelihood(features, weight, bias, classes, observed)
        skill = _explained(law, some["labels"], observed & ~told)
        used = {f"{_USE} {m}": each for m, each in enumerate(share.mean(0).tolist())}
        return used | {_SKILL: skill}

    def alarms(
        self, batch: Mapping[str, Tensor], history: Sequence[Mapping[str, float]]
    ) -> list[str]:
        """Return in words whether features have collapsed that tasks need.

        They have if weights are charged for, heads read few features, and labels are told much
        worse in the end than they were earlier in training, when nothing had been charged yet.

        Args:
            batch: Held-out tasks.
            history: Rows of the history of training, in order; see `watched`.
        """
        prices = {name: getattr(self.model.config, name) for name in ("sharing", "sparsity")}
        skills = [row[_SKILL] for row in history if _SKILL in row]
        if not skills or not any(prices.values()):
            return []
        now, best = self.watched(batch), max(skills)
        uses, last = [now[name] for name in now if name.startswith(_USE)], now[_SKILL]
        used = sum(use > _LEAST_USE for use in uses)
        if best - last < _FALL or used == len(uses):
            return []
        return [
            f"Features have collapsed: heads read {used} of {len(uses)}, and what they explain of "
            f"labels that they have not seen fell from {best:.0%} to {last:.0%} in the course of "
            "training. Tasks need more: lower "
            f"{' or '.join(f'`{n}` (now {x:g})' for n, x in prices.items() if x)}."
        ]

    def forward(
        self,
        inputs: Float[Tensor, "task point ..."],
        labels: Float[Tensor, "task point"],
        observed: Bool[Tensor, "task point"],
        classes: Int[Tensor, " task"],
        *,
        size: int | None = None,
    ) -> None:
        """Draw the head of every task, and the features of its points.

        Args:
            inputs: What points are made of.
            labels: Their labels.
            observed: Which labels there are.
            classes: Kind of each task.
            size: Number of tasks of the whole data set.
        """
        count = len(classes)
        location, scale = self.read(inputs, observed)
        self.tasks.draw_shared()
        with pyro.plate(TASK, size or count, subsample=torch.arange(count), dim=-1):
            self.tasks.draw(LabelledPoints(location, scale, labels, observed, classes))
            pyro.sample("features", self.feature_posterior(location, scale, observed))


def _explained(
    law: MixedLabels, labels: Float[Tensor, "task point"], asked: Bool[Tensor, "task point"]
) -> float:
    """Return the share of the variance of labels that a law explains, over all tasks that vary."""
    most, least = (torch.where(asked, labels, end) for end in (-torch.inf, torch.inf))
    vary = least.amin(1) < most.amax(1)
    number = (law.classes == 0)[:, None, None]
    which = torch.arange(law.probs.shape[-1], device=labels.device)
    truth = torch.where(number, labels.unsqueeze(-1), (labels.unsqueeze(-1) == which).to(labels))
    found = torch.where(number, law.mean.unsqueeze(-1), law.probs)
    there = asked.unsqueeze(-1).to(labels)
    middle = (truth * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    spread = (there * (truth - middle).square()).sum((1, 2))
    error = (there * (truth - found).square()).sum((1, 2))
    skill = (1 - error / spread.clamp(min=_TINY)).clamp(min=-1)[vary]
    return float(skill.mean()) if len(skill) else 0.0

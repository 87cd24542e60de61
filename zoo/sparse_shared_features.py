"""Sparse shared features: many small tasks, each of which reads few of some common features."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import pyro
import torch
from jaxtyping import Bool, Float, Int
from pyro.distributions import (
    Beta,
    HalfCauchy,
    Laplace,
    MultivariateNormal,
    Normal,
    TorchDistribution,
)
from torch import Tensor, nn

from .config import AbstractConfig
from .distributions import MixedLabels, SpikeAndSlab, correlation_factor, outputs_of
from .head_prices import entropy_of, vanishing_price
from .memory import check_memory
from .nets.points import Network, PointDecoder
from .penalty import penalise
from .schedules import Schedule
from .task_checks import check_room, check_tasks

__all__ = ["BIAS_SCALE", "POINT", "TASK", "SparseSharedFeatures"]

TASK = "task"
POINT = "point"
_AXES = {1: ("input",), 3: ("channel", "row", "column")}
_COUNTS = ("num_features", "num_outputs", "points", "hidden_dim", "num_layers")
BIAS_SCALE = 3.0
_PACE = 30.0  # scales are learned this much faster than networks
_RELEASE = (0.7, 0.8)  # of training: when the regularisers let go
_RARELY = 0.3  # below 1: a feature that is off for all tasks is cheap
_LEAST = 1e-6
_INPUT_SCALE = 0.1
_TILT = 5.0  # correlations are learned this much faster than networks


class SparseSharedFeatures(nn.Module):
    """Tasks are linear in few of the features that all of them share.

    A feature m is read by a share of all tasks. For each task, whose outputs c are one for numbers
    or yes and no, and one for each of C classes:

        inclusion[m] ~ Beta(0.3, 1)                             for each feature
        weight[c, m] ~ 0, or with probability inclusion[m] Normal(0, weight_scale)
        bias[c]      ~ Normal(0, 3)
        for each of its points i:
            features[i] ~ Normal(0, C)                      C = I, unless `correlated`
            inputs[i]   ~ Normal(decoder(features[i]), input_scale)
            labels[i]   ~ a number, yes or no, or a class, of weight @ features[i] + bias

    Only points that have a label count. A task is a datum: the guide reads its head off its own
    labelled points, so that the posterior of an unseen task is few-shot learning.

    Labels that depend on few of the true factors each, on different ones, identify these: of all
    features that predict as well, true factors need the smallest heads. Fumero et al., "Leveraging
    sparse and shared feature activations for disentangled representation learning", NeurIPS 2023,
    arXiv:2304.07939; Lachapelle et al., "Synergies between disentanglement and sparsity", ICML
    2023, arXiv:2211.14666. Tasks that all use all factors, or fixed blocks of them, identify
    nothing.

    In training, labels count `emphasis` times and heads have a price, `sparsity`, in units of the
    least one at which all weights of a task vanish; it sets in once features have formed. In the
    end both let go, and the ELBO alone is left: then posteriors of heads are as wide as they should
    be. The price is one of being on, where weights have spikes; otherwise, of size. Other heads:

        "horseshoe"  width[m] ~ HalfCauchy(1) for each feature, spread[c, m] ~ HalfCauchy(1),
                     weight[c, m] ~ Normal(0, weight_scale width[m] spread[c, m])
        "laplace"    weight[c, m] ~ Laplace(0, weight_scale[m])
        "normal"     weight[c, m] ~ Normal(0, weight_scale[m]), the dense baseline

    With the last two, no prior lets tasks share: `sharing` is the price of the entropy of how much
    all tasks of a batch together use each feature, and sets in last.

    With `variant="map"`, features are a function of inputs, which are not modelled; heads are the
    best, not drawn. With "bilevel", in training, heads are those of every other labelled point, and
    what counts is how well they predict the rest. That is the published scheme, with Laplace heads.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes and options of the model.

        Attributes:
            input_shape: Shape of a point: (features,), or channels, height and width.
            num_features: Number of features; with more than there are factors, some stay unused.
            num_outputs: 1; or the largest number of classes, if a task has three or more.
            points: Number of points of a simulated task; data may have another.
            kinds: Kinds of simulated tasks, in turn: 0 for numbers, 2 for yes or no, C for classes.
            variant: "generative", "map" or "bilevel".
            heads: "spike_and_slab"; "horseshoe"; "laplace"; or "normal". Where heads are points
                (variants "map" and "bilevel"), one of the last two.
            network: Of encoder and decoder: "perceptron"; or "convolutional", of images.
            hidden_dim: Width of the decoder's hidden layers.
            num_layers: Number of these, of a perceptron.
            sparsity: Price of weights in training, 1 for all to vanish.
            sharing: Price of the entropy of their use, in the same unit, of "laplace" and "normal".
                Too much of it makes features collapse.
            emphasis: How many times labels count in training; inputs are many numbers, which would
                otherwise settle features before labels are heard.
            weight_scale: Where the scale of weights begins, which is learned; that of slabs.
            label_scale: Where the standard deviation of labels that are numbers begins, likewise.
            input_scale: Standard deviation of inputs. None: a hundredth of the root of how many
                numbers a point is, and at least 0.1; were many pixels taken more exactly, they
                would settle features before labels are heard.
            correlated: Whether correlations of features are learned. If not, features that are
                independent are preferred, whatever labels say; with factors that are correlated at
                0.7 in truth, learning them is needed. It leaves more features in use.
        """

        input_shape: tuple[int, ...]
        num_features: int = 12
        num_outputs: int = 1
        points: int = 32
        kinds: tuple[int, ...] = (2,)
        variant: Literal["generative", "map", "bilevel"] = "generative"
        heads: Literal["spike_and_slab", "horseshoe", "laplace", "normal"] = "spike_and_slab"
        network: Network = "perceptron"
        hidden_dim: int = 128
        num_layers: int = 2
        sparsity: float = 0.2
        sharing: float = 0.1
        emphasis: float = 100.0
        weight_scale: float = 1.0
        label_scale: float = 0.5
        input_scale: float | None = None
        correlated: bool = False

        def check(self) -> None:
            """Refuse sizes below one, kinds that are none and variants that do not go together."""
            shape = self.input_shape
            fits = len(shape) in _AXES and all(n >= 1 for n in shape)
            self.require(fits, "input_shape", "one or three positive sizes")
            for name in _COUNTS:
                self.require(getattr(self, name) >= 1, name, "at least 1")
            kinds = all(kind in (0, 2) or 3 <= kind <= self.num_outputs for kind in self.kinds)
            self.require(kinds and len(self.kinds) > 0, "kinds", "0, 2, or 3 to num_outputs")
            images = self.network == "perceptron" or len(shape) == 3
            self.require(images, "network", "'perceptron' unless inputs are images")
            drawn = self.heads in ("laplace", "normal") or self.variant == "generative"
            self.require(drawn, "heads", "'laplace' or 'normal' where heads are points")
            for name in ("sparsity", "sharing"):
                self.require(getattr(self, name) >= 0, name, "zero or positive")
            for name in ("emphasis", "weight_scale", "label_scale"):
                self.require(getattr(self, name) > 0, name, "positive")
            scale = self.input_scale
            self.require(scale is None or scale > 0, "input_scale", "positive, or None")

    coords: dict[str, list[str]] = {}  # noqa: RUF012 - read only
    # Sites of which some numbers are idle by design: features that no task needs.
    spare = frozenset({"weight", "bias", "spread", "features"})
    # What is compared with the data where one observed site has to do.
    checked_site = "labels"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.decoder: nn.Module | None = None
        if config.variant == "generative":
            check_memory(lambda: _decoder(config), f"hidden_dim={config.hidden_dim}")
            self.decoder = _decoder(config)
        apart = config.num_features if self.shares_by_price else 1
        self.log_label_scale = nn.Parameter(torch.zeros(()))
        self.log_weight_scale = nn.Parameter(torch.zeros(2, apart))
        self.correlation: nn.Parameter | None = None
        if config.correlated and self.decoder is not None:
            self.correlation = nn.Parameter(torch.zeros(config.num_features, config.num_features))
        self.register_buffer("sparsity", torch.zeros(()))
        self.register_buffer("sharing", torch.zeros(()))
        self.register_buffer("release", torch.zeros(()))
        self.register_buffer("zero", torch.zeros(()))

    sparsity: Tensor
    sharing: Tensor
    release: Tensor
    zero: Tensor

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        head, inputs = (
            (TASK, "output", "feature"),
            (TASK, POINT, *_AXES[len(self.config.input_shape)]),
        )
        shared: dict[str, dict[str, tuple[str, ...]]] = {
            "spike_and_slab": {"inclusion": ("feature",)},
            "horseshoe": {"width": ("feature",), "spread": head},
        }
        found = {
            **shared.get(self.config.heads, {}),
            "weight": head,
            "bias": (TASK, "output"),
            "features": (TASK, POINT, "feature"),
            "labels": (TASK, POINT),
        }
        return found | ({"inputs": inputs} if self.decoder is not None else {})

    @property
    def schedules(self) -> dict[str, Schedule]:
        """What training pays for: the fit first, then sparse heads, then sharing.

        In the end the ELBO alone, but where heads are points, whose width does not matter.
        """
        since, until = _RELEASE
        last = 0.0 if self.decoder is not None else 1.0
        return {
            "sparsity": Schedule(0.0, self.config.sparsity, since=0.1, until=0.3),
            "sharing": Schedule(0.0, self.config.sharing, since=0.3, until=0.5),
            "release": Schedule(1.0, last, since=since, until=until),
        }

    @property
    def kl_schedule(self) -> dict[str, Schedule]:
        """Features cost little at first, while it is open which there will be."""
        if self.decoder is None:
            return {}
        return {"features": Schedule(0.1, 1.0, until=0.3)}

    @property
    def shares_by_price(self) -> bool:
        """Whether sharing is a price; with other heads it is a prior."""
        return self.config.heads in ("laplace", "normal")

    @property
    def emphasis(self) -> Float[Tensor, ""]:
        """How many times labels count now, in training."""
        return 1 + (self.config.emphasis - 1) * self.release

    @property
    def input_scale(self) -> float:
        """Standard deviation of inputs."""
        usual = max(_INPUT_SCALE, 0.01 * math.prod(self.config.input_shape) ** 0.5)
        return self.config.input_scale or usual

    @property
    def label_scale(self) -> Float[Tensor, ""]:
        """Standard deviation of labels that are numbers."""
        return self.config.label_scale * torch.exp(_PACE * self.log_label_scale)

    def weight_scale(self, classes: Int[Tensor, " task"]) -> Float[Tensor, "task 1 #feature"]:
        """Return the scale of the weights of each task.

        It is learned, one for numbers and one for the rest, and for each feature unless it has an
        `inclusion` or a `width`: features that no task reads get none.
        """
        kind = (classes != 0).long()
        scale = self.config.weight_scale * torch.exp(_PACE * self.log_weight_scale)
        return scale[kind].unsqueeze(-2)

    def usual_size(self, classes: Int[Tensor, " task"]) -> Float[Tensor, "task 1"]:
        """Return what sizes of weights of tasks of a kind are compared with, without a gradient."""
        return self.weight_scale(classes).detach().mean(-1)

    def inclusion_prior(self) -> TorchDistribution:
        """Return p(inclusion): how many of the tasks use each feature."""
        first = (_RARELY + self.zero).expand(self.config.num_features)
        return Beta(first, 1 + self.zero).to_event(1)

    def width_prior(self) -> TorchDistribution:
        """Return p(width): how large the weights of each feature are, in all tasks."""
        return HalfCauchy((1 + self.zero).expand(self.config.num_features)).to_event(1)

    def spread_prior(self, classes: Int[Tensor, " task"]) -> TorchDistribution:
        """Return p(spread): how large each weight is beside others of its feature."""
        used = outputs_of(classes, self.config.num_outputs)
        ones = (1 + self.zero).expand(*used.shape, self.config.num_features)
        return HalfCauchy(ones).to_event(1).mask(used).to_event(1)

    def weight_prior(
        self,
        classes: Int[Tensor, " task"],
        shared: Float[Tensor, "*batch feature"] | None = None,
        spread: Float[Tensor, "*#batch task output feature"] | None = None,
    ) -> TorchDistribution:
        """Return p(weight), given `inclusion` or `width`, and `spread`, if heads have these."""
        used = outputs_of(classes, self.config.num_outputs)
        shape = (*used.shape, self.config.num_features)
        scale, heads = self.weight_scale(classes), self.config.heads
        if heads == "spike_and_slab":
            odds = torch.logit(cast(Tensor, shared), eps=_LEAST).unsqueeze(-2)
            odds = odds.expand(torch.broadcast_shapes(odds.shape, shape))
            law: TorchDistribution = SpikeAndSlab(odds, Normal(self.zero, scale.expand(shape)))
        elif heads == "horseshoe":
            width = cast(Tensor, shared).unsqueeze(-2) * cast(Tensor, spread)
            law = Normal(self.zero, scale * width).to_event(1)
        else:
            family = Laplace if heads == "laplace" else Normal
            law = family(self.zero, scale.expand(shape)).to_event(1)
        # A tensor, since what is masked by False alone is in single precision.
        return law.mask(used & (self.config.variant != "bilevel")).to_event(1)

    def bias_prior(self, classes: Int[Tensor, " task"]) -> TorchDistribution:
        """Return p(bias)."""
        used = outputs_of(classes, self.config.num_outputs)
        scale = BIAS_SCALE + self.zero
        return Normal(self.zero, scale).expand(used.shape).mask(used).to_event(1)

    def feature_prior(self, observed: Bool[Tensor, "task point"]) -> TorchDistribution:
        """Return p(features); it does not count where they are a function of inputs."""
        shape = (*observed.shape, self.config.num_features)
        law: TorchDistribution = Normal(self.zero, 1 + self.zero).expand(shape).to_event(1)
        if self.correlation is not None:
            factor = correlation_factor(_TILT * self.correlation)
            law = MultivariateNormal(self.zero.expand(shape), scale_tril=factor)
        return law.mask(observed & (self.decoder is not None)).to_event(1)

    def input_likelihood(
        self,
        features: Float[Tensor, "*batch task point feature"],
        observed: Bool[Tensor, "task point"],
    ) -> TorchDistribution:
        """Return p(inputs | features)."""
        mean = cast(nn.Module, self.decoder)(features)
        law = Normal(mean, self.input_scale + self.zero)
        return law.to_event(len(self.config.input_shape)).mask(observed).to_event(1)

    def label_likelihood(
        self,
        features: Float[Tensor, "*batch task point feature"],
        weight: Float[Tensor, "*batch task output feature"],
        bias: Float[Tensor, "*batch task output"],
        classes: Int[Tensor, " task"],
        observed: Bool[Tensor, "task point"],
    ) -> MixedLabels:
        """Return p(labels | features, weight, bias)."""
        outputs = features @ weight.mT + bias.unsqueeze(-2)
        return MixedLabels(outputs, classes, self.label_scale, observed)

    def forward(
        self,
        inputs: Float[Tensor, "task point ..."] | None = None,
        labels: Float[Tensor, "task point"] | None = None,
        observed: Bool[Tensor, "task point"] | None = None,
        classes: Int[Tensor, " task"] | None = None,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Run the generative story.

        Args:
            inputs: What points are made of; None simulates.
            labels: Their labels, as numbers; None simulates.
            observed: Which points have a label; None: all.
            classes: Kind of each task: 0 for numbers, 2 for yes or no, C for C classes. None: those
                of the configuration.
            size: Number of tasks of the whole data set (without data: number to simulate).
        """
        observed, classes = self._design(inputs, observed, classes, size or 1)
        count = len(classes)
        shared = self._shared()
        with pyro.plate(TASK, size or count, subsample=torch.arange(count), dim=-1):
            spread = None
            if self.config.heads == "horseshoe":
                spread = pyro.sample("spread", self.spread_prior(classes))
            weight = pyro.sample("weight", self.weight_prior(classes, shared, spread))
            bias = pyro.sample("bias", self.bias_prior(classes))
            features = pyro.sample("features", self.feature_prior(observed))
            if self.decoder is not None:
                pyro.sample("inputs", self.input_likelihood(features, observed), obs=inputs)
            counted = self.counted(observed)
            law = self.label_likelihood(features, weight, bias, classes, counted)
            if self.training and labels is not None:
                self._charge(law, labels, features, weight)
            return pyro.sample("labels", law, obs=labels)

    def _design(
        self, inputs: Tensor | None, observed: Tensor | None, classes: Tensor | None, size: int
    ) -> tuple[Tensor, Tensor]:
        """Return which points have labels, and kinds of tasks, given or made up."""
        device = self.zero.device
        if classes is None:
            count = size if inputs is None else len(inputs)
            kinds = torch.tensor(self.config.kinds, device=device)
            classes = kinds.repeat(-(-count // len(kinds)))[:count]
        if observed is None:
            points = self.config.points if inputs is None else inputs.shape[1]
            observed = torch.ones(len(classes), points, dtype=torch.bool, device=device)
        return observed, classes

    def _shared(self) -> Tensor | None:
        """Draw what is known of a feature for all tasks."""
        if self.config.heads == "spike_and_slab":
            return pyro.sample("inclusion", self.inclusion_prior())
        if self.config.heads == "horseshoe":
            return pyro.sample("width", self.width_prior())
        return None

    def counted(self, observed: Bool[Tensor, "task point"]) -> Bool[Tensor, "task point"]:
        """Return which labels are to be predicted: all, or those that no head has seen."""
        if self.config.variant != "bilevel" or not self.training:
            return observed
        return observed & (observed.cumsum(-1) % 2 == 0)

    def _charge(self, law: MixedLabels, labels: Tensor, features: Tensor, weight: Tensor) -> None:
        """Charge training for what is no part of the ELBO."""
        penalise("emphasis", (1 - self.emphasis) * law.log_prob(labels))
        if self.config.variant == "bilevel":
            return
        usual = self.usual_size(law.classes)
        size = self.sizes(weight, law.classes)
        price = self.price(features.detach(), labels, law.classes, law.observed)
        if self.config.heads == "spike_and_slab":
            size = usual * self.sizes((weight != 0).to(usual), law.classes)
        penalise("sparsity", self.sparsity * price * size.sum(-1))
        if self.shares_by_price:
            entropy, _ = entropy_of(size / usual)
            penalise("sharing", self.sharing * price * entropy)

    def sizes(
        self, weight: Float[Tensor, "*batch task output feature"], classes: Int[Tensor, " task"]
    ) -> Float[Tensor, "*batch task feature"]:
        """Return the sum of absolute weights over the outputs that a task uses."""
        used = outputs_of(classes, self.config.num_outputs).unsqueeze(-1)
        return (weight.abs() * used).sum(-2)

    def price(
        self,
        features: Float[Tensor, "*batch task point feature"],
        labels: Float[Tensor, "*batch task point"],
        classes: Int[Tensor, " task"],
        counted: Bool[Tensor, "task point"],
    ) -> Float[Tensor, "*batch task"]:
        """Return the unit of prices now, for each task."""
        scale, outputs = self.label_scale.detach(), self.config.num_outputs
        least = vanishing_price(features, labels, classes, counted, scale, outputs)
        return least * self.emphasis * self.release

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are tasks that the model can be fitted to."""
        outputs, features = self.config.num_outputs, self.config.num_features
        check_tasks(batch, self.config.input_shape, outputs)
        tasks, points = batch["labels"].shape
        check_room(tasks, points, outputs, features)


def _decoder(config: SparseSharedFeatures.Config) -> nn.Module:
    return PointDecoder(
        config.num_features,
        config.input_shape,
        config.network,
        config.hidden_dim,
        config.num_layers,
    )

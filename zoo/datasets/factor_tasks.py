"""Many small tasks on the same factors, each of which depends on few of them."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from ..errors import DataError
from .ellipses import ELLIPSE_FACTORS, render_ellipses
from .task_split import TaskSplit, TaskTruth

__all__ = ["FactorTasks"]

Supports = Literal["random", "all", "blocks"]

_DIM, _HIDDEN = 32, 64
_NOISE = 0.02
_APART = 0.2  # of the two first factors, above which points are held out
_REFERENCE = 8192  # draws of the factors by which scores are scaled and divided
_SPLITS = {"train": 0, "validation": 1, "test": 2, "unseen": 3}


class FactorTasks:
    """Points made of independent factors, and tasks that are linear in few of these.

    Factors are uniform on (-1, 1); a point is a fixed random network of them with noise, or a
    picture of an ellipse. Each task draws its own points. Its score is a weighted sum of the
    factors in its support, scaled to a variance of one, with noise; its labels are the score, or
    which of several equally likely intervals it is in. Weights are between 0.5 and 1.5 in size,
    before scaling, and of either sign. The first points of a task are one of each class that it
    has, so that a few labels never hold a single class.

    Tasks of the validation and the test split are new, on the same factors. `unseen` has new tasks,
    the second half of whose points are of the combination that is held out.

    Args:
        num_factors: Number of factors; 6 for images.
        num_tasks: Of the training split.
        points: Of each task.
        support_sizes: How many factors a task may depend on, each size as likely.
        supports: "random" ones; "all" factors in every task, or fixed "blocks" of two, neither of
            which tells factors apart.
        kinds: What labels are, in turn: 0 for numbers, 2 for yes or no, C for C classes.
        correlation: Of any two factors, by a Gaussian copula.
        noise: Of the score, as a standard deviation.
        labelled: Fewest and most labels of a task of the training split; None: all points have one.
        images: Whether points are pictures of 32 x 32 pixels and not vectors of 32 numbers.
        held_out: Whether no split but `unseen` has points whose first two factors are both
            above 0.2.
        test_tasks: Of each other split.
        seed: Of all that is drawn.

    Attributes:
        train: Training tasks.
        validation: New tasks.
        test: New tasks.
        unseen: New tasks with points that are held out; None if none are.

    Raises:
        DataError: An option is out of its range, or options do not go together.
    """

    def __init__(
        self,
        *,
        num_factors: int = 6,
        num_tasks: int = 512,
        points: int = 64,
        support_sizes: Sequence[int] = (1, 2, 3),
        supports: Supports = "random",
        kinds: Sequence[int] = (2,),
        correlation: float = 0.0,
        noise: float = 0.1,
        labelled: tuple[int, int] | None = None,
        images: bool = False,
        held_out: bool = False,
        test_tasks: int = 200,
        seed: int = 0,
    ) -> None:
        _require(num_factors >= 2, f"num_factors={num_factors}", "2 or more")
        _require(not images or num_factors == 6, f"num_factors={num_factors}", "6 with images")
        _require(min(num_tasks, test_tasks, points) >= 1, "no tasks or points", "1 or more of each")
        fits = len(support_sizes) > 0 and all(1 <= n <= num_factors for n in support_sizes)
        _require(fits, f"support_sizes={tuple(support_sizes)}", f"1 to {num_factors}, one or more")
        _require(supports in get_args(Supports), f"supports={supports!r}", "random, all or blocks")
        fits = len(kinds) > 0 and all(kind == 0 or kind >= 2 for kind in kinds)
        _require(fits, f"kinds={tuple(kinds)}", "0, or 2 or more classes, one or more")
        _require(0 <= correlation < 1, f"correlation={correlation}", "0 to below 1")
        _require(noise >= 0, f"noise={noise}", "0 or more")
        fits = labelled is None or 1 <= labelled[0] <= labelled[1] <= points
        _require(fits, f"labelled={labelled}", f"two rising numbers from 1 to {points}, or None")
        fewest, classes = points if labelled is None else labelled[0], max(kinds)
        _require(fewest >= classes, f"tasks of {fewest} labels", f"{classes} or more, as classes")
        fits = not held_out or points >= 2 * classes
        _require(
            fits, f"points={points} with held_out", f"{2 * classes} or more, twice the classes"
        )
        self.num_factors, self.points, self.kinds = num_factors, points, tuple(kinds)
        self.support_sizes, self.supports = tuple(support_sizes), supports
        self.correlation, self.noise, self.held_out, self.images = (
            correlation,
            noise,
            held_out,
            images,
        )
        self.name = "ellipses" if images else "factors"
        self.input_shape: tuple[int, ...] = (3, 32, 32) if images else (_DIM,)
        self.factor_names = (
            ELLIPSE_FACTORS if images else tuple(f"factor {k}" for k in range(num_factors))
        )
        self._network = _random_network(num_factors, seed)
        self._reference = self._seen((_REFERENCE,), Generator().manual_seed(2_000_003 + seed))
        self.train = self._tasks("train", num_tasks, seed, labelled)
        self.validation = self._tasks("validation", test_tasks, seed)
        self.test = self._tasks("test", test_tasks, seed)
        self.unseen = self._tasks("unseen", test_tasks, seed) if held_out else None

    @property
    def num_outputs(self) -> int:
        """How many outputs heads need: 1, or the largest number of classes above two."""
        return max(1, *(kind for kind in (1, *self.kinds) if kind != 2))

    def render(self, factors: Float[Tensor, "*batch factor"]) -> Float[Tensor, "..."]:
        """Return points without noise."""
        if self.images:
            return render_ellipses(factors)
        first, shift, second = self._network
        return torch.tanh(factors @ first + shift) @ second

    def _tasks(
        self, split: str, count: int, seed: int, labelled: tuple[int, int] | None = None
    ) -> TaskSplit:
        generator = Generator().manual_seed(4 * seed + _SPLITS[split])
        factors = self._factors(split, count, generator)
        support = self._support(count, generator)
        weight = support * (0.5 + torch.rand(support.shape, generator=generator))
        weight = weight * (2 * torch.randint(2, support.shape, generator=generator) - 1)
        weight = weight / (self._reference @ weight.T).std(0)[:, None]
        score = self._score(factors, weight, generator)
        classes = torch.tensor(self.kinds).repeat(-(-count // len(self.kinds)))[:count]
        reference = self._reference @ weight.T
        labels = _labels(score, classes, reference)
        first = self.points - self.points // 2 if split == "unseen" else self.points
        while bool((alike := _alike(labels[:, :first]) & (classes > 0)).any()):
            factors[alike] = self._factors(split, int(alike.sum()), generator)
            score[alike] = self._score(factors[alike], weight[alike], generator)
            labels = _labels(score, classes, reference)
        observed = torch.ones(score.shape, dtype=torch.bool)
        if labelled is not None:
            low, high = labelled
            known = torch.randint(low, high + 1, (count, 1), generator=generator)
            observed = torch.arange(self.points) < known
        rest = torch.arange(first, self.points).expand(count, -1)  # held out, and there they stay
        order = torch.cat([_one_of_each_first(labels[:, :first], classes), rest], 1)
        labels = labels.gather(1, order) * observed
        factors = factors.gather(1, order.unsqueeze(-1).expand_as(factors))
        inputs = self.render(factors)
        inputs = inputs + _NOISE * torch.randn(inputs.shape, generator=generator)
        if self.images:
            inputs = inputs.clamp(0, 1)
        truth = TaskTruth(
            factor_value=factors, support=support, weight=weight, factors=self.factor_names
        )
        return TaskSplit(inputs, labels, observed, classes, truth)

    def _score(
        self,
        factors: Float[Tensor, "task point factor"],
        weight: Float[Tensor, "task factor"],
        generator: Generator,
    ) -> Float[Tensor, "task point"]:
        score = torch.einsum("tpf,tf->tp", factors, weight)
        return score + self.noise * torch.randn(score.shape, generator=generator)

    def _factors(
        self, split: str, count: int, generator: Generator
    ) -> Float[Tensor, "task point factor"]:
        if split != "unseen":
            return self._seen((count, self.points), generator)
        seen = self.points - self.points // 2
        inside = self._seen((count, self.points - seen), generator, inside=True)
        return torch.cat([self._seen((count, seen), generator), inside], 1)

    def _seen(
        self, shape: tuple[int, ...], generator: Generator, *, inside: bool = False
    ) -> Float[Tensor, "*batch factor"]:
        """Return factors outside of the combination that is held out, or inside of it."""
        drawn = self._independent((*shape, self.num_factors), generator)
        while self.held_out and bool((wrong := _combined(drawn) != inside).any()):
            drawn[wrong] = self._independent((int(wrong.sum()), self.num_factors), generator)
        return drawn

    def _independent(
        self, shape: tuple[int, ...], generator: Generator
    ) -> Float[Tensor, "*batch factor"]:
        """Return factors, correlated as asked for."""
        if self.correlation == 0:
            return 2 * torch.rand(shape, generator=generator) - 1
        own, common = (
            torch.randn(shape, generator=generator),
            torch.randn((*shape[:-1], 1), generator=generator),
        )
        normal = own * (1 - self.correlation) ** 0.5 + common * self.correlation**0.5
        return torch.erf(normal / 2**0.5)

    def _support(self, count: int, generator: Generator) -> Bool[Tensor, "task factor"]:
        if self.supports == "all":
            return torch.ones(count, self.num_factors, dtype=torch.bool)
        if self.supports == "blocks":
            chosen = torch.randint(-(-self.num_factors // 2), (count, 1), generator=generator)
            return torch.arange(self.num_factors) // 2 == chosen
        sizes = torch.tensor(self.support_sizes)
        size = sizes[torch.randint(len(sizes), (count, 1), generator=generator)]
        rank = torch.rand(count, self.num_factors, generator=generator).argsort(1).argsort(1)
        return rank < size


def _labels(
    score: Float[Tensor, "task point"],
    classes: Int[Tensor, " task"],
    reference: Float[Tensor, "draw task"],
) -> Float[Tensor, "task point"]:
    """Return scores, or in which of equally likely intervals they are, by scores to compare."""
    found = score.clone()
    for kind in classes[classes > 0].unique().tolist():
        own = classes == kind
        shares = torch.arange(1, kind) / kind
        edges = reference[:, own].quantile(shares, 0).T.contiguous()
        found[own] = torch.searchsorted(edges, score[own].contiguous()).float()
    return found


def _alike(labels: Float[Tensor, "task point"]) -> Bool[Tensor, " task"]:
    return (labels == labels[:, :1]).all(1)


def _one_of_each_first(
    labels: Float[Tensor, "task point"], classes: Int[Tensor, " task"]
) -> Int[Tensor, "task point"]:
    """Return an order of points in which the first one of each class comes before all others."""
    place = torch.arange(labels.shape[1]).expand(labels.shape)
    for kind in range(int(classes.max())):
        own = labels == kind
        first = own & (own.cumsum(1) == 1) & (classes[:, None] > 0)
        place = torch.where(first, -1, place)
    return place.argsort(dim=1, stable=True)


def _combined(factors: Float[Tensor, "*batch factor"]) -> Bool[Tensor, "*batch"]:
    return (factors[..., :2] > _APART).all(-1)


def _random_network(num_factors: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights of a network of one hidden layer of tanh."""
    generator = Generator().manual_seed(1_000_003 + seed)
    first = 1.5 * torch.randn(num_factors, _HIDDEN, generator=generator) / num_factors**0.5
    shift = 0.3 * torch.randn(_HIDDEN, generator=generator)
    second = torch.randn(_HIDDEN, _DIM, generator=generator) / _HIDDEN**0.5
    return first, shift, second


def _require(fits: bool, found: str, expected: str) -> None:
    if not fits:
        raise DataError(f"Found {found}; expected {expected}.")

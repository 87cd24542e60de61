"""The models that can be asked for by name: one line each, and those of installed packages."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..zoo.additive_decoder import AdditiveDecoder
from ..zoo.additive_motion import AdditiveMotion
from ..zoo.baselines import VariationalAutoencoder
from ..zoo.config import AbstractConfig
from ..zoo.continuous_operator import ContinuousOperator
from ..zoo.distributed_operator import DistributedOperator
from ..zoo.entropy_ordered_flow import EntropyOrderedFlow
from ..zoo.errors import ConfigError
from ..zoo.plugins import Plugin, find_plugin, plugins
from ..zoo.sparse_shared_features import SparseSharedFeatures
from ..zoo.sparse_transformation import SparseTransformation
from .additive_decoder import AdditiveDecoderGuide
from .additive_motion import AdditiveMotionGuide
from .baselines import VariationalAutoencoderGuide
from .continuous_operator import ContinuousOperatorGuide
from .distributed_operator import DistributedOperatorGuide
from .entropy_ordered_flow import EntropyOrderedFlowGuide
from .sparse_shared_features import SparseSharedFeaturesGuide
from .sparse_transformation import SparseTransformationGuide

__all__ = [
    "ENTRIES",
    "Citation",
    "Entry",
    "Example",
    "broken_entries",
    "entries",
    "entry_of",
    "image_sequences",
    "mixed_tasks",
]

GROUP = "mutoscope.entries"


@dataclass(frozen=True, eq=False)
class Example:
    """A small pair and data for it, on which the contract is tested.

    Attributes:
        batch: Observed tensors by name, first axis the data, of which there are at least two.
        model: Fields of the model's configuration.
        guide: Fields of the guide's configuration.
    """

    batch: Mapping[str, Tensor]
    model: Mapping[str, Any] = field(default_factory=dict)
    guide: Mapping[str, Any] = field(default_factory=dict)


def image_sequences() -> Example:
    """Return five sequences of four random images, for models of image sequences."""
    images = torch.rand(5, 4, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return Example({"images": images}, model={"image_shape": (1, 6, 6), "length": 4})


def small_images() -> Example:
    """Return five random images, for models of single images."""
    x = torch.rand(5, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    sizes = {"image_shape": (1, 3, 4), "couplings": 2, "hidden_dim": 8}
    return Example({"x": x}, model=sizes)


def orbits() -> Example:
    """Return five pairs of random images, for models of a finite group."""
    images = torch.rand(5, 2, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return Example(
        {"images": images}, model={"image_shape": (1, 6, 6), "orders": (4,), "latent_dim": 16}
    )


def turns() -> Example:
    """Return five pairs of random images, for models of a circle."""
    images = torch.rand(5, 2, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    sizes = {"image_shape": (1, 6, 6), "highest_frequency": 2, "latent_dim": 12}
    # Of random images no angle can be right, and finer pixels would only magnify rounding.
    return Example({"images": images}, model=sizes | {"image_scale": 0.5})


def mixed_tasks() -> Example:
    """Return five tasks of all kinds with 20 random points, some without a label."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(5, 20, 6, generator=generator)
    classes = torch.tensor([0, 2, 3, 2, 0])
    number = inputs[..., 0] - inputs[..., 1] + 0.3 * torch.randn(5, 20, generator=generator)
    several = (number > -0.5).float() + (number > 0.5)
    yes = (number > 0).float()
    kind = classes.unsqueeze(1)
    labels = torch.where(kind == 0, number, torch.where(kind == 2, yes, several))
    observed = torch.arange(20) < torch.tensor([20, 20, 16, 12, 8]).unsqueeze(1)
    inputs = inputs * observed.unsqueeze(-1)
    batch = {"inputs": inputs, "labels": labels * observed, "observed": observed}
    sizes = {"input_shape": (6,), "num_features": 4, "num_outputs": 3, "points": 20}
    sizes |= {"kinds": (0, 2, 3), "hidden_dim": 16}
    return Example(batch | {"classes": classes}, model=sizes)


@dataclass(frozen=True)
class Citation:
    """A work that a model builds on.

    Attributes:
        work: Key of an entry of `mutoscope/inference/references.bib`, or a BibTeX entry.
        applies: Whether it was used, given the configurations of model and guide.
    """

    work: str
    applies: Callable[[Any, Any], bool] = lambda model, guide: True


@dataclass(frozen=True)
class Entry:
    """A model with its guide.

    Attributes:
        name: What the command line calls it; `package:name` for those of other packages.
        model: Class of the model, built from its `Config`.
        guide: Class of the guide, built from the model and its own `Config`.
        summary: One line for listings.
        baseline: Name of the model that it is compared with, if there is one.
        shared: Fields of the configuration that the baseline takes over.
        reads: What it is given: "sequences" of images, called `images`; "stills", single images
            called `x`; or "tasks", points called `inputs` with `labels`.
        defaults: Options of data and training that suit it, where the command line gives none.
        citations: Works that it builds on.
        example: Makes what the contract tests run.
    """

    name: str
    model: Any
    guide: Any
    summary: str
    baseline: str | None = None
    shared: tuple[str, ...] = ()
    reads: Literal["sequences", "stills", "tasks"] = "sequences"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    citations: tuple[Citation, ...] = ()
    example: Callable[[], Example] = image_sequences

    @staticmethod
    def named(name: str) -> "Entry":
        """Return the entry of that name, without importing other packages than its own.

        Args:
            name: Of one of ours; else `name` or `package:name` of one of an installed package.

        Raises:
            ConfigError: There is none, and the message names the nearest one; or there are several;
                or its package is broken, and the message says how.
        """
        for entry in ENTRIES:
            if entry.name == name:
                return entry
        if plugin := find_plugin(GROUP, name):
            return _load(plugin)
        names = [entry.name for entry in ENTRIES] + [plugin.name for plugin in plugins(GROUP)]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."
        raise ConfigError(f"There is no model called {name!r}. {hint}")


def _estimator(name: str) -> Callable[[Any, Any], bool]:
    return lambda model, guide: model.activity == "sparse" and guide.estimator == name


ENTRIES = (
    Entry(
        "sta",
        SparseTransformation,
        SparseTransformationGuide,
        "sparse transformation analysis",
        baseline="vae",
        shared=("latent_dim", "decoder_hidden_dim"),
        citations=(
            Citation("song2024sparse"),
            Citation("song2023flow", lambda model, guide: model.activity == "one"),
            Citation("jang2017categorical", _estimator("straight_through")),
            Citation("louizos2018learning", _estimator("hard_concrete")),
            Citation("dong2020disarm", _estimator("disarm")),
            Citation("titsias2015local", _estimator("local_expectation")),
            Citation("chen2018torchdiffeq", lambda model, guide: model.method == "dopri5"),
        ),
    ),
    Entry(
        "entropy-ordered-flow",
        EntropyOrderedFlow,
        EntropyOrderedFlowGuide,
        "entropy-ordered flow",
        reads="stills",
        citations=(
            Citation("galperin2026core"),
            Citation("gresele2021independent", lambda model, guide: model.total_correlation > 0),
            Citation(
                "dinh2017density",
                lambda model, guide: model.coupling == "affine" or model.levels > 0,
            ),
            Citation("durkan2019neural", lambda model, guide: model.coupling == "spline"),
            Citation("kingma2018glow", lambda model, guide: model.levels > 0),
            Citation("theis2016note", lambda model, guide: model.bits is not None),
        ),
        example=small_images,
    ),
    Entry(
        "additive",
        AdditiveDecoder,
        AdditiveDecoderGuide,
        "additive decoders",
        defaults={"data": "balls", "batch_size": 128, "learning_rate": 1e-3, "restarts": 6},
        citations=(
            Citation("lachapelle2023additive"),
            Citation("watters2019spatial", lambda model, guide: model.network == "broadcast"),
            Citation("finn2016deep", lambda model, guide: guide.network == "places"),
        ),
    ),
    Entry(
        "additive-motion",
        AdditiveMotion,
        AdditiveMotionGuide,
        "additive decoders of sequences, each part at its own speed",
        defaults={
            "data": "ball_sequences",
            "max_steps": 1000,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "restarts": 3,
        },
        citations=(Citation("lachapelle2023additive"), Citation("johnson2016composing")),
    ),
    Entry(
        "sparse-shared-features",
        SparseSharedFeatures,
        SparseSharedFeaturesGuide,
        "features that many tasks share, each of which reads few",
        reads="tasks",
        defaults={"data": "factors", "batch_size": 32, "max_steps": 1200},
        citations=(
            Citation("fumero2023leveraging"),
            Citation("lachapelle2023synergies"),
            Citation("titsias2011spike", lambda model, guide: model.heads == "spike_and_slab"),
            Citation("carvalho2010horseshoe", lambda model, guide: model.heads == "horseshoe"),
        ),
        example=mixed_tasks,
    ),
    Entry(
        "operator",
        DistributedOperator,
        DistributedOperatorGuide,
        "distributed operators",
        baseline="vae",
        defaults={
            "steps": "10",
            "max_steps": 2000,
            "batch_size": 32,
            "learning_rate": 3e-3,  # so fast that a race of restarts is decided early
            "restarts": 8,
        },
        citations=(Citation("bouchacourt2021addressing"),),
        example=orbits,
    ),
    Entry(
        "continuous-operator",
        ContinuousOperator,
        ContinuousOperatorGuide,
        "distributed operators of any angle",
        baseline="vae",
        defaults={
            "steps": "24",
            "labelled": True,
            "max_steps": 2000,
            "batch_size": 32,
            "learning_rate": 1e-3,
        },
        citations=(Citation("bouchacourt2021addressing"),),
        example=turns,
    ),
    Entry(
        "vae",
        VariationalAutoencoder,
        VariationalAutoencoderGuide,
        "autoencoder of single frames",
        citations=(Citation("kingma2014auto"),),
    ),
)


def entries() -> Iterator[Entry]:
    """Yield our entries, then those of installed packages, which are imported on the way.

    Another package adds an entry by an entry point in the group `mutoscope.entries` that names an
    `Entry`, or a function without arguments that returns one. Those that fail are left out, see
    `broken_entries`.
    """
    yield from ENTRIES
    yield from (found for found in _installed() if isinstance(found, Entry))


def broken_entries() -> tuple[str, ...]:
    """Return a line for each installed entry that cannot be used: its name, package and cause."""
    return tuple(str(found) for found in _installed() if isinstance(found, ConfigError))


def entry_of(model: nn.Module, guide: nn.Module) -> Entry:
    """Return the entry that a pair was built from.

    Raises:
        ConfigError: The pair is not registered.
    """
    for entry in entries():
        if type(model) is entry.model and type(guide) is entry.guide:
            return entry
    raise ConfigError(
        f"{type(model).__name__} with {type(guide).__name__} is not registered. Add a line to "
        "ENTRIES in mutoscope/guides/registry.py or, in another package, an entry point in the "
        f"group {GROUP}."
    )


def _installed() -> Iterator[Entry | ConfigError]:
    for plugin in plugins(GROUP):
        try:
            yield _load(plugin)
        except ConfigError as error:
            yield error


def _load(plugin: Plugin) -> Entry:
    return replace(plugin.load(_as_entry), name=plugin.name)


def _as_entry(found: Any) -> Entry:  # noqa: ANN401 - whatever an entry point names
    entry = found() if callable(found) else found
    if not isinstance(entry, Entry):
        raise TypeError(f"found {type(entry).__name__}, expected an Entry or a function of one")
    for part in (entry.model, entry.guide):
        if not issubclass(getattr(part, "Config", object), AbstractConfig):
            raise TypeError(f"{part!r} has no Config that is derived from AbstractConfig")
    return entry

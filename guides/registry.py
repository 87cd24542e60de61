"""The models that can be asked for by name: one line each."""

import difflib
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..zoo.baselines import VariationalAutoencoder
from ..zoo.errors import ConfigError
from ..zoo.sparse_transformation import SparseTransformation
from .baselines import VariationalAutoencoderGuide
from .sparse_transformation import SparseTransformationGuide

__all__ = ["ENTRIES", "Entry", "entry_of"]


@dataclass(frozen=True)
class Entry:
    """A model with its guide.

    Attributes:
        name: What the command line calls it.
        model: Class of the model, built from its `Config`.
        guide: Class of the guide, built from the model and its own `Config`.
        summary: One line for listings.
        baseline: Name of the model that it is compared with, if there is one.
        shared: Fields of the configuration that the baseline takes over.
    """

    name: str
    model: Any
    guide: Any
    summary: str
    baseline: str | None = None
    shared: tuple[str, ...] = ()

    @staticmethod
    def named(name: str) -> "Entry":
        """Return the entry of that name.

        Raises:
            ConfigError: There is none; the message names the nearest one.
        """
        for entry in ENTRIES:
            if entry.name == name:
                return entry
        names = [entry.name for entry in ENTRIES]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."
        raise ConfigError(f"There is no model called {name!r}. {hint}")


ENTRIES = (
    Entry(
        "sta",
        SparseTransformation,
        SparseTransformationGuide,
        "sparse transformation analysis",
        baseline="vae",
        shared=("latent_dim", "decoder_hidden_dim"),
    ),
    Entry(
        "vae", VariationalAutoencoder, VariationalAutoencoderGuide, "autoencoder of single frames"
    ),
)


def entry_of(model: nn.Module, guide: nn.Module) -> Entry:
    """Return the entry that a pair was built from.

    Raises:
        ConfigError: The pair is not registered.
    """
    for entry in ENTRIES:
        if type(model) is entry.model and type(guide) is entry.guide:
            return entry
    raise ConfigError(
        f"{type(model).__name__} with {type(guide).__name__} is not registered, so it cannot be "
        "saved to a folder. Add a line to ENTRIES in mutoscope/guides/registry.py."
    )

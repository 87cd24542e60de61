"""The shape annotations of the package are checked while tests run."""

import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pyro
import pytest
import torch
from beartype import beartype

# Data sets check the shapes of users' arrays themselves, with errors of their own.
CHECKED = (
    "mutoscope.guides",
    "mutoscope.inference.elbo",
    "mutoscope.zoo.baselines",
    "mutoscope.zoo.config",
    "mutoscope.zoo.continuous_operator",
    "mutoscope.zoo.distributed_operator",
    "mutoscope.zoo.distributions",
    "mutoscope.zoo.finite_group",
    "mutoscope.zoo.fields",
    "mutoscope.zoo.flow_penalties",
    "mutoscope.zoo.nets",
    "mutoscope.zoo.operators",
    "mutoscope.zoo.slabs",
    "mutoscope.zoo.sparse_transformation",
    "mutoscope.zoo.transport",
)


def _mentions_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_mentions_shape, typing.get_args(hint)))


def shapes_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check arguments and results that have a shape; configurations check their own values."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if _mentions_shape(hint)}
    checked: Callable[..., Any] = beartype(function)
    return checked


jaxtyping.install_import_hook(CHECKED, f"{__name__}.shapes_only")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data files."""
    root = Path(__file__).resolve().parents[1]
    path = Path(os.environ.get("MUTOSCOPE_DATA", root.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("no real data files: set MUTOSCOPE_DATA to their folder")
    return path


@pytest.fixture(autouse=True)
def _seeded_and_unvalidated() -> Iterator[None]:
    """Give every test the same noise, one thread and Pyro without its own checks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    with pyro.validation_enabled(False):
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """Let wrong shapes through to the checks of the package itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

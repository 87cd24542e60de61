"""A training step never waits for the device: no number is read back from it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mutoscope.guides import ENTRIES, Entry, SparseTransformationGuide
from mutoscope.inference.objective import Objective
from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.checks import deferred_checks

MASKS = (torch.bool, torch.uint8)
READING_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Reads(TorchDispatchMode):
    """Counts operations whose result, or its shape, has to come back to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        if reads_back(func, args):
            self.operations.append(func.name())
        return func(*args, **(kwargs or {}))


def reads_back(func: Any, args: tuple[Any, ...]) -> bool:
    # Numbers look up values on the device; masks are counted first, and tags know no difference.
    if func.name().startswith(("aten::index.", "aten::index_put")):
        return any(index is not None and index.dtype in MASKS for index in args[1])
    # Torch checks the probabilities of a multinomial on the host.
    return bool(READING_TAGS & set(func.tags)) or "multinomial" in func.name()


def reads_of_a_step(
    model: nn.Module, guide: nn.Module, batch: dict[str, Tensor], particles: int = 1
) -> list[str]:
    objective = Objective(model, guide, size=50, particles=particles)
    with Reads() as reads, deferred_checks():
        loss, _ = objective(batch)
        loss.backward()
    assert loss.isfinite()
    return reads.operations


READING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x[0]),
    "condition": lambda x: bool((x > 0).any()),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "one hot": lambda x: nn.functional.one_hot(x.long()),
    "multinomial": lambda x: x.multinomial(1),
    "mask of a result": lambda x: x.clone().index_put_((x > 0,), x[0]),
}


@pytest.mark.parametrize("name", READING)
def test_what_reads_is_noticed(name: str) -> None:
    with Reads() as reads:
        READING[name](torch.ones(3))
    assert reads.operations


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_step_of_a_registered_model_reads_nothing(entry: Entry) -> None:
    example = entry.example()
    model = entry.model(entry.model.Config.from_dict(dict(example.model)))
    guide = entry.guide(model, entry.guide.Config.from_dict(dict(example.guide)))
    for particles in (1, 2):
        assert not reads_of_a_step(model, guide, dict(example.batch), particles)


ONE = {"activity": "one"}
HAMILTON_JACOBI = {"time_dependent": True, "hamilton_jacobi": 0.1, "initial_rest": 0.1}
VARIANTS: list[dict[str, Any]] = [
    {"likelihood": "bernoulli"},
    {"control": "double"},
    {"rotation": "penalised"},
    {"kl": "paper"},
    {"kl": "paper", "control": "double"},
    {"reject_zero": True},
    HAMILTON_JACOBI,
    {**HAMILTON_JACOBI, "kl": "paper", "force": False},
    ONE,
    {**ONE, **HAMILTON_JACOBI, "kl": "paper"},
    {"slab": "laplace"},
    {"slab": "normal"},
    {"slab": "signed"},
    {"method": "euler"},
    {"method": "midpoint", "steps_per_frame": 2},
    {"estimator": "hard_concrete"},
    {"estimator": "disarm"},
    {"estimator": "local_expectation"},
    {"estimator": "enumerate"},
    {"estimator": "enumerate", "control": "double"},
    {"estimator": "hard_concrete", "reject_zero": True},
    {"estimator": "enumerate", "reject_zero": True},
]


def make(options: dict[str, Any]) -> tuple[SparseTransformation, SparseTransformationGuide]:
    sizes = {"num_fields": 3, "latent_dim": 4, "decoder_hidden_dim": 8}
    fields = {name: value for name, value in options.items() if name != "estimator"}
    model = SparseTransformation(
        SparseTransformation.Config(image_shape=(1, 4, 4), **sizes, **fields)
    )
    config = SparseTransformationGuide.Config(
        hidden_dim=8, feature_dim=8, estimator=options.get("estimator", "straight_through")
    )
    return model, SparseTransformationGuide(model, config)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_step_of_sparse_transformation_analysis_reads_nothing(options: dict[str, Any]) -> None:
    assert not reads_of_a_step(*make(options), {"images": torch.rand(4, 3, 1, 4, 4)})


def test_a_step_with_observed_fields_reads_nothing() -> None:
    batch = {"images": torch.rand(4, 3, 1, 4, 4), "field": torch.tensor([0, 1, 2, 0])}
    assert not reads_of_a_step(*make(ONE), batch)


def test_checks_that_are_not_deferred_read() -> None:
    model, guide = make({})
    with Reads() as reads:
        Objective(model, guide, size=50)({"images": torch.rand(4, 3, 1, 4, 4)})
    assert reads.operations

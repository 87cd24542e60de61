"""The whole model and guide: estimators agree, and gradients reach every parameter."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mutoscope.guides import SparseTransformationGuide
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.distributions import Estimator

K, SIDE = 3, 4
ESTIMATORS: tuple[Estimator, ...] = (
    "straight_through",
    "hard_concrete",
    "disarm",
    "local_expectation",
    "enumerate",
)


def make(
    estimator: Estimator = "straight_through", **options: object
) -> tuple[SparseTransformation, SparseTransformationGuide]:
    """Return a small model whose images depend strongly on the speeds, and its guide."""
    sizes = {"num_fields": K, "latent_dim": 4, "field_hidden_dim": 5, "decoder_hidden_dim": 8}
    torch.manual_seed(3)
    model = SparseTransformation(
        SparseTransformation.Config(image_shape=(1, SIDE, SIDE), **{**sizes, **options})
    )
    config = SparseTransformationGuide.Config(hidden_dim=8, feature_dim=8, estimator=estimator)
    guide = SparseTransformationGuide(model, config)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2)
        model.potential.weight.mul_(4)
        guide.spike.bias.copy_(torch.linspace(-1, 1, model.num_speeds))
    return model, guide


def images(count: int, frames: int) -> Tensor:
    return torch.rand(1, frames, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).expand(
        count, -1, -1, -1, -1
    )


def elbo_at(estimator: Estimator, temperature: float, count: int, frames: int) -> float:
    model, guide = make(estimator)
    guide.temperature.fill_(temperature)
    with torch.no_grad():
        terms = Elbo(model, guide)({"images": images(count, frames)}, size=count)
    return float(terms.elbo)


@pytest.mark.parametrize("estimator", ["straight_through", "hard_concrete", "disarm"])
def test_relaxed_elbo_agrees_with_the_enumerated_one(estimator: Estimator) -> None:
    enumerated = elbo_at("enumerate", 0.2, 4000, frames=2)
    relaxed = elbo_at(estimator, 0.2, 4000, frames=2)
    assert abs(relaxed - enumerated) <= 0.01 * abs(enumerated)


def gradients(estimator: Estimator, repeats: int) -> Tensor:
    """Return draws of the gradient of the log-odds' biases."""
    model, guide = make(estimator)
    made = []
    for _ in range(repeats):
        terms = Elbo(model, guide)({"images": images(64, 3)}, size=64)
        made.append(torch.autograd.grad(terms.objective, guide.spike.bias)[0])
    return torch.stack(made)


@pytest.mark.parametrize("estimator", ["disarm", "local_expectation"])
def test_unbiased_gradients_agree_with_enumerated_ones(estimator: Estimator) -> None:
    found, exact = gradients(estimator, 80), gradients("enumerate", 40)
    error = (found.var(0) / len(found) + exact.var(0) / len(exact)).sqrt()
    assert ((found.mean(0) - exact.mean(0)).abs() <= 4 * error).all()
    assert (exact.mean(0).abs() > 4 * error).any()


@pytest.mark.parametrize("estimator", ["straight_through", "hard_concrete"])
def test_relaxed_gradients_point_the_same_way(estimator: Estimator) -> None:
    found, exact = gradients(estimator, 40).mean(0), gradients("enumerate", 40).mean(0)
    assert torch.cosine_similarity(found, exact, dim=0) > 0.8


def without_gradient(
    options: dict[str, Any], estimator: Estimator, frames: int, field: Tensor | None
) -> set[str]:
    model, guide = make(estimator, **options)
    batch = {"images": torch.rand(6, frames, 1, SIDE, SIDE)}
    if field is not None:
        batch["field"] = field
    elbo = Elbo(model, guide)
    elbo(batch, size=20).objective.backward()
    reached = set()
    for name, parameter in elbo.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
        if parameter.grad is not None and parameter.grad.any():
            reached.add(name)
    return {n for n, p in elbo.named_parameters() if p.requires_grad} - reached


HAMILTON_JACOBI = {"hamilton_jacobi": 0.1, "time_dependent": True}
SPARSE: list[dict[str, Any]] = [
    {},
    {"control": "double"},
    {"rotation": "penalised"},
    {"rotation": "penalised", "control": "double"},
    {"kl": "paper"},
    {"kl": "paper", "control": "double"},
    {"time_dependent": True},
    HAMILTON_JACOBI,
    {**HAMILTON_JACOBI, "force": False, "kl": "paper", "rotation": "penalised"},
    {"likelihood": "normal"},
    {"method": "dopri5"},
    {"method": "euler", "steps_per_frame": 2},
    {"slab": "laplace"},
    {"slab": "normal"},
    {"slab": "signed"},
    {"slab": "lognormal", "reject_zero": True},
]


@pytest.mark.parametrize("options", SPARSE, ids=str)
def test_gradients_reach_every_parameter(options: dict[str, Any]) -> None:
    assert not without_gradient(options, "straight_through", 5, None)


@pytest.mark.parametrize("control", ["single", "double"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_reach_every_parameter_by_every_estimator(
    estimator: Estimator, control: str
) -> None:
    assert not without_gradient({"control": control}, estimator, 3, None)


@pytest.mark.parametrize("estimator", ["hard_concrete", "enumerate"])
def test_gradients_where_something_always_moves(estimator: Estimator) -> None:
    assert not without_gradient({"reject_zero": True}, estimator, 3, None)


def of_slab(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(("guide.slab_shift", "guide.slab_width"))}


ONE: list[dict[str, Any]] = [{}, {"kl": "paper"}, HAMILTON_JACOBI]


@pytest.mark.parametrize("options", ONE, ids=str)
def test_gradients_where_one_field_is_inferred(options: dict[str, Any]) -> None:
    unreached = without_gradient({"activity": "one", **options}, "straight_through", 5, None)
    assert unreached == of_slab(unreached), "speeds are 1, only their widths are not needed"


def test_gradients_where_one_field_is_observed() -> None:
    field = torch.tensor([0, 1, 2, 0, 1, 2])
    unreached = without_gradient({"activity": "one"}, "straight_through", 5, field)
    speeds = ("guide.transitions", "guide.spike", "guide.slab")
    assert all(name.startswith(speeds) for name in unreached), "the guide infers no speeds"


@pytest.mark.parametrize("options", [{"kl": "paper"}, {"rotation": "penalised"}, HAMILTON_JACOBI])
def test_penalties_where_one_field_is_observed(options: dict[str, Any]) -> None:
    field = torch.tensor([0, 1, 2, 0, 1, 2])
    missing = without_gradient({"activity": "one", **options}, "straight_through", 5, field)
    assert not [name for name in missing if name.startswith("model.")]


def test_it_works_in_double_precision() -> None:
    model, guide = make("local_expectation", kl="paper", control="double")
    elbo = Elbo(model.double(), guide.double())
    terms = elbo({"images": images(5, 3).double()}, size=20)
    assert terms.objective.dtype == torch.float64

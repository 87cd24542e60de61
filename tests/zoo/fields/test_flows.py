"""Laws of sums: of speeds over fields, of flows side by side, of flows field by field."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mutoscope.zoo.fields import (
    AbstractFlow,
    PenalisedField,
    PotentialField,
    RidgeFlow,
    RotationalField,
    StackedFlow,
    SummedFlow,
    join_ridge_flows,
)

K, D = 3, 5
TIME = torch.tensor(0.7, dtype=torch.float64)


def potential(num_fields: int = K) -> RidgeFlow:
    return PotentialField(num_fields, D, 6, time_dependent=True).double().flow()


def rotational() -> RidgeFlow:
    return RotationalField(K, D, 4).double().flow()


def penalised() -> AbstractFlow:
    return PenalisedField(K, D, 6).double().flow()


FLOWS: dict[str, Callable[[], AbstractFlow]] = {
    "potential": potential,
    "rotational": rotational,
    "penalised": penalised,
    "joined": lambda: join_ridge_flows(potential(), rotational()),
    "stacked": lambda: StackedFlow([potential(2), penalised()]),
    "summed": lambda: SummedFlow(potential(), penalised()),
}


@pytest.fixture
def points() -> Tensor:
    return torch.randn(2, 7, D, dtype=torch.float64)


@pytest.mark.parametrize("name", FLOWS)
def test_velocity_is_the_weighted_sum_of_each(name: str, points: Tensor) -> None:
    flow = FLOWS[name]()
    speed = torch.randn(2, 7, flow.num_fields, dtype=torch.float64)
    each, divergence = flow.each(points, TIME), flow.divergence_each(points, TIME)
    assert each.shape == (2, 7, flow.num_fields, D)
    velocity = (speed.unsqueeze(-1) * each).sum(-2)
    assert torch.allclose(flow.velocity(points, TIME, speed), velocity, atol=1e-12)
    total = (speed * divergence).sum(-1)
    assert torch.allclose(flow.divergence(points, TIME, speed), total, atol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_know_their_latent_dimension(name: str) -> None:
    assert FLOWS[name]().latent_dim == D


@pytest.mark.parametrize("name", FLOWS)
def test_flows_at_speed_zero_stand_still(name: str, points: Tensor) -> None:
    flow = FLOWS[name]()
    speed = torch.zeros(2, 7, flow.num_fields, dtype=torch.float64)
    assert not flow.velocity(points, TIME, speed).any()


def test_joined_flows_add_field_by_field(points: Tensor) -> None:
    first, second = potential(), rotational()
    joined, summed = join_ridge_flows(first, second), SummedFlow(first, second)
    expected = first.each(points, TIME) + second.each(points, TIME)
    divergence = first.divergence_each(points, TIME) + second.divergence_each(points, TIME)
    for flow in (joined, summed):
        assert flow.num_fields == K
        assert torch.allclose(flow.each(points, TIME), expected, atol=1e-12)
        assert torch.allclose(flow.divergence_each(points, TIME), divergence, atol=1e-12)


def test_stacked_flows_are_numbered_one_after_the_other(points: Tensor) -> None:
    first, second = potential(2), penalised()
    stacked = StackedFlow([first, second])
    assert stacked.num_fields == 5
    each = stacked.each(points, TIME)
    assert torch.equal(each[..., :2, :], first.each(points, TIME))
    assert torch.equal(each[..., 2:, :], second.each(points, TIME))
    speed = torch.randn(2, 7, 5, dtype=torch.float64)
    parts = (
        first.velocity(points, TIME, speed[..., :2]),
        second.velocity(points, TIME, speed[..., 2:]),
    )
    assert torch.allclose(stacked.velocity(points, TIME, speed), sum(parts), atol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_an_evaluation_reads_only_the_tensors_listed(name: str, points: Tensor) -> None:
    flow = FLOWS[name]()
    listed = [x for x in flow.tensors if x.requires_grad]
    speed = torch.randn(2, 7, flow.num_fields, dtype=torch.float64)
    output = flow.velocity(points, TIME, speed).sum() + flow.divergence(points, TIME, speed).sum()
    gradients = torch.autograd.grad(output, listed, allow_unused=True, retain_graph=True)
    assert any(gradient is not None and gradient.any() for gradient in gradients)


def test_penalised_fields_do_have_divergence(points: Tensor) -> None:
    assert penalised().divergence_each(points, TIME).abs().mean() > 1e-2

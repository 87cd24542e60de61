"""Closed-form gradients, divergences and time derivatives against automatic differentiation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.fields import AbstractField, PenalisedField, PotentialField, RotationalField

K, D, H = 3, 5, 7
FIELDS: dict[str, Callable[[], AbstractField]] = {
    "potential": lambda: PotentialField(K, D, H, time_dependent=True, scale=1.0),
    "static": lambda: PotentialField(K, D, H, scale=1.0),
    "rotational": lambda: RotationalField(K, D, H, scale=1.0),
    "penalised": lambda: PenalisedField(K, D, H),
}


def jacobians(field: AbstractField, points: Tensor, time: Tensor) -> Tensor:
    """Return `(point, K, D, D)`."""
    flow = field.flow()
    made = [torch.autograd.functional.jacobian(lambda z: flow.each(z, time), x) for x in points]
    return torch.stack(made)


def test_potential_fields_are_curl_free_in_float32() -> None:
    field = PotentialField(4, 8, scale=1.0)
    jacobian = jacobians(field, torch.randn(64, 8), torch.tensor(0.0))
    assert (jacobian - jacobian.mT).abs().max() <= 1e-5
    assert jacobian.abs().amax((0, 2, 3)).min() > 0.1


def test_rotational_fields_are_divergence_free_in_float32() -> None:
    field = RotationalField(4, 8, scale=1.0)
    points, zero = torch.randn(64, 8), torch.tensor(0.0)
    jacobian = jacobians(field, points, zero)
    assert jacobian.diagonal(dim1=-2, dim2=-1).sum(-1).abs().max() <= 1e-5
    assert field.flow().divergence_each(points, zero).abs().max() <= 1e-5
    assert jacobian.abs().amax((0, 2, 3)).min() > 0.1


def test_rotational_fields_stay_divergence_free_whatever_is_learned() -> None:
    field = RotationalField(K, D, H).double()
    for parameter in field.parameters():
        torch.nn.init.normal_(parameter)
    jacobian = jacobians(field, torch.randn(16, D).double(), torch.tensor(0.0))
    assert jacobian.diagonal(dim1=-2, dim2=-1).sum(-1).abs().max() <= 1e-10


def test_velocity_is_the_gradient_of_the_potential() -> None:
    field = PotentialField(K, D, H, time_dependent=True, scale=1.0).double()
    points, time = torch.randn(11, D).double().requires_grad_(), torch.tensor(1.7).double()
    each = field(points, time)
    for k in range(K):
        total = field.potential(points, time)[:, k].sum()
        (gradient,) = torch.autograd.grad(total, points)
        assert (each[:, k] - gradient).abs().max() <= 1e-10


def test_velocity_is_the_turned_gradient_of_the_hamiltonian() -> None:
    field = RotationalField(K, D, H, scale=1.0).double()
    points = torch.randn(11, D).double().requires_grad_()
    each = field(points, torch.tensor(0.0))
    for k in range(K):
        argument = points @ field.inward[k].T + field.bias[k]
        bowl = (field.log_stiffness[k].exp() * points.square()).sum() / 2
        hamiltonian = (field.weight[k] * torch.log(torch.cosh(argument))).sum() + bowl
        (gradient,) = torch.autograd.grad(hamiltonian, points)
        turned = gradient @ (field.turning[k] - field.turning[k].T).T
        assert (each[:, k] - turned).abs().max() <= 1e-10
        assert (each[:, k] * gradient).sum(-1).abs().max() <= 1e-10, "it leaves its level set"


@pytest.mark.parametrize("name", FIELDS)
def test_divergence_is_the_trace_of_the_jacobian(name: str) -> None:
    field = FIELDS[name]().double()
    points, time = torch.randn(9, D).double(), torch.tensor(0.6).double()
    trace = jacobians(field, points, time).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert (field.flow().divergence_each(points, time) - trace).abs().max() <= 1e-10


def test_laplacian_is_the_trace_of_the_hessian() -> None:
    field = PotentialField(K, D, H, time_dependent=True).double()
    points, time = torch.randn(4, D).double(), torch.tensor(2.0).double()
    for point in points:
        for k in range(K):
            hessian = torch.autograd.functional.hessian(
                lambda z, k=k: field.potential(z, time)[k], point
            )
            assert abs(field.laplacian(point, time)[k] - hessian.trace()) <= 1e-10


def test_time_derivative_of_potentials() -> None:
    field = PotentialField(K, D, H, time_dependent=True).double()
    points, time = torch.randn(9, D).double(), torch.tensor(1.3).double()
    automatic = torch.autograd.functional.jacobian(lambda t: field.potential(points, t), time)
    assert (field.time_derivative(points, time) - automatic).abs().max() <= 1e-10
    assert automatic.abs().max() > 1e-3


def test_static_potentials_do_not_learn_a_drift() -> None:
    field = PotentialField(K, D, H)
    assert not field.drift.requires_grad
    points = torch.randn(3, D)
    assert torch.equal(field(points, torch.tensor(0.0)), field(points, torch.tensor(9.0)))


def test_points_may_have_times_of_their_own() -> None:
    field = PotentialField(K, D, H, time_dependent=True).double()
    points, times = torch.randn(6, 4, D).double(), torch.arange(4.0).double()
    together = field(points, times[:, None, None])
    apart = torch.stack([field(points[:, t], times[t]) for t in range(4)], 1)
    assert (together - apart).abs().max() <= 1e-12


def test_potentials_are_finite_far_away() -> None:
    field = PotentialField(K, D, H)
    far = torch.full((1, D), 1e4)
    assert field.potential(far, torch.tensor(0.0)).isfinite().all()
    assert field(far, torch.tensor(0.0)).norm(dim=-1).max() < 100, "velocities are bounded"


@pytest.mark.parametrize("make", [PotentialField, RotationalField, PenalisedField])
@pytest.mark.parametrize("name", ["num_fields", "latent_dim", "hidden_dim"])
@pytest.mark.parametrize("size", [0, -1])
def test_sizes_below_one_are_refused(
    make: Callable[..., AbstractField], name: str, size: int
) -> None:
    sizes = {"num_fields": K, "latent_dim": D, "hidden_dim": H, name: size}
    with pytest.raises(ConfigError, match=f"{name}={size}, but at least 1"):
        make(**sizes)

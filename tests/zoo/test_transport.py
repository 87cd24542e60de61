"""Where points go, how densities change, and what is said when it goes wrong."""

import contextlib
import itertools
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torchdiffeq import odeint

from mutoscope.zoo.checks import checks_deferred, deferred_checks
from mutoscope.zoo.errors import ConfigError, TransportDiverged
from mutoscope.zoo.fields import (
    AbstractFlow,
    PotentialField,
    RidgeFlow,
    RotationalField,
    StackedFlow,
    SummedFlow,
    join_ridge_flows,
)
from mutoscope.zoo.transport import Method, transport, transport_error

K, D, T = 3, 6, 4
METHODS: tuple[Method, ...] = ("euler", "midpoint", "rk4", "dopri5")


def make_flow(dtype: torch.dtype = torch.float64) -> RidgeFlow:
    potential = PotentialField(K, D, 8, time_dependent=True, scale=0.6).to(dtype)
    return join_ridge_flows(potential.flow(), RotationalField(K, D, 8, scale=0.6).to(dtype).flow())


@pytest.fixture
def flow() -> RidgeFlow:
    return make_flow()


@pytest.fixture
def latent() -> Tensor:
    return torch.randn(5, D, dtype=torch.float64)


@pytest.fixture
def speed() -> Tensor:
    return torch.rand(5, T, K, dtype=torch.float64)


def test_log_density_agrees_with_the_determinant_of_the_jacobian(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    moved = transport(flow, latent, speed, density=True, steps_per_frame=4)
    assert moved.log_density is not None
    for frame in range(1, T + 1):
        for sequence in range(len(latent)):
            jacobian = torch.autograd.functional.jacobian(
                lambda z, t=frame, s=sequence: transport(
                    flow, z, speed[s, :t], steps_per_frame=4
                ).latent[-1],
                latent[sequence],
            )
            exact = -torch.linalg.slogdet(jacobian).logabsdet
            assert abs(exact - moved.log_density[sequence, frame]) <= 1e-3
            assert abs(exact) > 1e-2
    assert not moved.log_density[:, 0].any()


def test_rotational_flows_leave_densities_unchanged(latent: Tensor, speed: Tensor) -> None:
    flow = RotationalField(K, D, 8).double().flow()
    moved = transport(flow, latent, speed, density=True)
    assert moved.log_density is not None
    assert moved.log_density.abs().max() <= 1e-10
    assert (moved.latent[:, -1] - latent).norm(dim=-1).min() > 0.1


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_backward_transport_undoes_forward_transport(
    flow: RidgeFlow, latent: Tensor, speed: Tensor, method: Method
) -> None:
    solve = partial(transport, flow, method=method, steps_per_frame=4, tolerance=1e-8, density=True)
    forward = solve(latent, speed)
    backward = solve(forward.latent[:, -1], speed, reverse=True)
    assert (backward.latent.flip(1) - forward.latent).abs().max() <= 1e-4
    assert forward.log_density is not None
    assert backward.log_density is not None
    assert (backward.log_density[:, -1] + forward.log_density[:, -1]).abs().max() <= 1e-4


def test_one_euler_step_is_the_published_update(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    moved = transport(flow, latent, speed, method="euler").latent
    point = latent
    for frame in range(T):
        each = flow.each(point, torch.tensor(float(frame), dtype=torch.float64))
        point = point + sum(speed[:, frame, k, None] * each[:, k] for k in range(K))
        assert torch.allclose(moved[:, frame + 1], point, rtol=0, atol=1e-13)


def by_torchdiffeq(
    flow: RidgeFlow, latent: Tensor, speed: Tensor, *, method: Method, steps: int, reverse: bool
) -> tuple[Tensor, Tensor]:
    points, changes = [latent], [latent.new_zeros(len(latent))]
    for frame in range(T)[::-1] if reverse else range(T):

        def slope(
            time: Tensor, state: tuple[Tensor, Tensor], now: Tensor = speed[:, frame]
        ) -> tuple[Tensor, Tensor]:
            return flow.velocity(state[0], time, now), -flow.divergence(state[0], time, now)

        span = torch.tensor([frame, frame + 1.0], dtype=latent.dtype)
        point, change = odeint(
            slope,
            (points[-1], changes[-1]),
            span.flip(0) if reverse else span,
            method=method,
            options={"step_size": 1 / steps},
        )
        points.append(point[-1])
        changes.append(change[-1])
    return torch.stack(points, 1), torch.stack(changes, 1)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_fixed_steps_agree_with_those_of_torchdiffeq(
    method: Method, steps: int, reverse: bool, latent: Tensor, speed: Tensor
) -> None:
    flow = make_flow()
    options: dict[str, Any] = {"method": method, "reverse": reverse}
    path, change = by_torchdiffeq(flow, latent, speed, steps=steps, **options)
    moved = transport(flow, latent, speed, steps_per_frame=steps, **options)
    assert (moved.latent - path).abs().max() <= 1e-12
    dense = transport(flow, latent, speed, steps_per_frame=steps, density=True, **options)
    assert torch.equal(dense.latent, moved.latent)
    assert dense.log_density is not None
    assert (dense.log_density - change).abs().max() <= 1e-12
    assert change.abs().max() > 0.1


def test_adaptive_solver_keeps_to_its_tolerance(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    exact = transport(flow, latent, speed, steps_per_frame=128).latent
    for tolerance in (1e-3, 1e-5, 1e-7):
        moved = transport(flow, latent, speed, method="dopri5", tolerance=tolerance).latent
        # The tolerance is that of a step; the flow stretches errors that were made before.
        assert (moved - exact).abs().max() <= 100 * tolerance


@pytest.mark.parametrize("method", METHODS)
def test_adjoint_gradients_equal_plain_ones(method: Method, latent: Tensor, speed: Tensor) -> None:
    gradients = []
    for adjoint in (False, True):
        torch.manual_seed(1)
        field = PotentialField(K, D, 8, time_dependent=True).double()
        z, c = latent.clone().requires_grad_(), speed.clone().requires_grad_()
        moved = transport(
            field.flow(),
            z,
            c,
            method=method,
            steps_per_frame=64 if method == "euler" else 16,
            tolerance=1e-9,
            adjoint=adjoint,
            density=method == "dopri5",
        )
        loss = moved.latent.square().sum()
        if moved.log_density is not None:
            loss = loss + moved.log_density.sum()
        learned = [p for p in field.parameters() if p.requires_grad]
        gradients.append(torch.autograd.grad(loss, [z, c, *learned]))
    # Backwards, a discretised solver does not retrace its steps: only the limits are equal.
    relative = {"euler": 0.05, "midpoint": 1e-3, "rk4": 1e-6, "dopri5": 1e-6}[method]
    for plain, adjoint_gradient in zip(*gradients, strict=True):
        assert (plain - adjoint_gradient).norm() <= relative * plain.norm()
        assert plain.norm() > 0


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_what_the_adjoint_keeps_does_not_grow_with_steps(
    method: Method, latent: Tensor, speed: Tensor
) -> None:
    field = PotentialField(K, D, 8).double()

    def kept(steps: int, *, adjoint: bool) -> int:
        saved: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x), lambda x: x):
            transport(
                field.flow(), latent, speed, method=method, steps_per_frame=steps, adjoint=adjoint
            )
        return len(saved)

    assert kept(2, adjoint=True) == kept(8, adjoint=True)
    assert kept(2, adjoint=False) < kept(8, adjoint=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", METHODS)
def test_it_works_without_gradients(
    method: Method, context: type[torch.no_grad], dtype: torch.dtype
) -> None:
    with context():
        flow = make_flow(dtype)
        latent, speed = torch.randn(5, D, dtype=dtype), torch.rand(5, T, K, dtype=dtype)
        moved = transport(flow, latent, speed, method=method, density=True)
    assert moved.latent.dtype == dtype
    assert moved.latent.shape == (5, T + 1, D)
    assert moved.log_density is not None
    assert moved.log_density.shape == (5, T + 1)
    assert torch.equal(moved.latent[:, 0], latent)


@pytest.mark.parametrize(("method", "each"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
@pytest.mark.parametrize("steps", [1, 3])
def test_evaluations_are_counted(method: Method, each: int, steps: int, flow: RidgeFlow) -> None:
    moved = transport(
        flow,
        torch.zeros(D).double(),
        torch.ones(T, K).double(),
        method=method,
        steps_per_frame=steps,
    )
    assert moved.evaluations == T * each * steps


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_error_decreases_with_steps(
    method: Method, flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    errors = [
        transport_error(flow, latent, speed, method=method, steps_per_frame=n) for n in (1, 2, 4, 8)
    ]
    order = {"euler": 1, "midpoint": 2, "rk4": 4}[method]
    assert errors[0] > 0
    for coarse, fine in itertools.pairwise(errors):
        assert fine < coarse / 2 ** (order - 0.5)


def test_error_of_the_adaptive_solver_is_measured(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    assert 0 < transport_error(flow, latent, speed, method="dopri5") < 100 * 1e-5


def test_batch_axes_broadcast(flow: RidgeFlow, latent: Tensor, speed: Tensor) -> None:
    moved = transport(flow, latent[:1], speed.expand(2, 5, T, K)).latent
    assert moved.shape == (2, 5, T + 1, D)
    assert torch.allclose(moved[1, 3], transport(flow, latent[0], speed[3]).latent)


def test_speed_zero_stands_still(flow: RidgeFlow, latent: Tensor) -> None:
    moved = transport(flow, latent, torch.zeros(5, T, K).double()).latent
    assert torch.equal(moved, latent.unsqueeze(1).expand_as(moved))


def test_clock_starts_where_it_is_told(flow: RidgeFlow, latent: Tensor, speed: Tensor) -> None:
    whole = transport(flow, latent, speed).latent
    rest = transport(flow, whole[:, 2], speed[:, 2:], start=2.0).latent
    assert torch.allclose(rest, whole[:, 2:])
    assert not torch.allclose(transport(flow, whole[:, 2], speed[:, 2:]).latent, rest)


def test_families_may_be_mixed(latent: Tensor, speed: Tensor) -> None:
    first: AbstractFlow = PotentialField(K, D, 8).double().flow()
    second = RotationalField(K, D, 8).double().flow()
    joined = transport(join_ridge_flows(first, second), latent, speed).latent
    assert torch.allclose(transport(SummedFlow(first, second), latent, speed).latent, joined)


def test_divergence_names_frame_magnitude_and_remedy(flow: RidgeFlow, latent: Tensor) -> None:
    speed = torch.zeros(5, T, K).double()
    speed[:, 2] = 1e7
    pattern = r"frame 3: the largest coordinate is \S*e\+\d+.*limit is 1e\+0\d.*Lower"
    with pytest.raises(TransportDiverged, match=pattern):
        transport(flow, latent, speed)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_start_that_is_not_finite_is_told_apart(
    method: Method, value: float, flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    latent[2, 1] = value
    with pytest.raises(TransportDiverged, match="starting point itself is not finite"):
        transport(flow, latent, speed, method=method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_speeds_that_are_not_finite_are_told_apart(
    method: Method, reverse: bool, value: float, flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    speed[3, 2, 1] = value
    pattern = "Speeds are not finite, first that of transition 2"
    with pytest.raises(TransportDiverged, match=pattern):
        transport(flow, latent, speed, method=method, reverse=reverse)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
@pytest.mark.parametrize("place", ["start", "speed", "far start", "fast"])
def test_deferred_checks_leave_nan_in_the_sequences_that_fail(
    method: Method, place: str, flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    whole = transport(flow, latent, speed, method=method).latent
    value = {"start": torch.inf, "speed": torch.nan, "far start": 1e8, "fast": 1e9}[place]
    (latent[2] if "start" in place else speed[2, -1]).fill_(value)
    with pytest.raises(TransportDiverged):
        transport(flow, latent, speed, method=method)
    with deferred_checks():
        moved = transport(flow, latent, speed, method=method).latent
    assert moved[2].isnan().all()
    sane = [0, 1, 3, 4]
    assert torch.equal(moved[sane], whole[sane])


def test_deferred_checks_change_no_number_of_sane_paths(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    found = []
    for context in (contextlib.nullcontext, deferred_checks):
        z = latent.clone().requires_grad_()
        with context():
            path = transport(flow, z, speed).latent
        found.append((path.detach(), *torch.autograd.grad(path.square().sum(), z)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_checks_are_deferred_inside_the_context_only() -> None:
    assert not checks_deferred()
    with contextlib.suppress(KeyError), deferred_checks():
        assert checks_deferred()
        raise KeyError
    assert not checks_deferred()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("density", [False, True])
def test_no_points_go_nowhere(method: Method, density: bool, flow: RidgeFlow) -> None:
    latent, speed = torch.zeros(0, D).double(), torch.zeros(0, T, K).double()
    moved = transport(flow, latent, speed, method=method, density=density)
    assert moved.latent.shape == (0, T + 1, D)
    assert moved.log_density is None or moved.log_density.shape == (0, T + 1)


@pytest.mark.parametrize("shape", [(5, D + 1), (5, 1), ()])
@pytest.mark.parametrize("kind", ["ridge", "summed", "stacked"])
@pytest.mark.usefixtures("no_shape_checks")
def test_points_of_another_space_are_refused(
    kind: str, shape: tuple[int, ...], flow: RidgeFlow, speed: Tensor
) -> None:
    flows: dict[str, AbstractFlow] = {
        "ridge": flow,
        "summed": SummedFlow(flow, flow),
        "stacked": StackedFlow([flow]),
    }
    with pytest.raises(ConfigError, match=rf"latent has shape .*must hold {D} coordinates"):
        transport(flows[kind], torch.zeros(shape).double(), speed)


@pytest.mark.usefixtures("no_shape_checks")
def test_batches_that_do_not_broadcast_are_refused(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    with pytest.raises(ConfigError, match=r"\(3, 6\) and speed \(5, 4, 3\).*must broadcast"):
        transport(flow, latent[:3], speed)


def test_unknown_methods_are_refused(flow: RidgeFlow, latent: Tensor, speed: Tensor) -> None:
    unknown: Any = "rk45"
    with pytest.raises(ConfigError, match="method='rk45', but one of euler, midpoint, rk4, dopri5"):
        transport(flow, latent, speed, method=unknown)


def test_adaptive_solver_that_cannot_go_on_says_so(
    flow: RidgeFlow, latent: Tensor, speed: Tensor
) -> None:
    speed[:, 1] = 1e200
    with pytest.raises(TransportDiverged, match="stopped in frame 1"):
        transport(flow, latent, speed, method="dopri5")


@pytest.mark.parametrize("shape", [(K,), (5, T, K + 1), (5, 0, K), (5, T, 0)])
@pytest.mark.usefixtures("no_shape_checks")
def test_bad_speed_shapes_are_refused(
    shape: tuple[int, ...], flow: RidgeFlow, latent: Tensor
) -> None:
    with pytest.raises(ConfigError, match="speed has shape"):
        transport(flow, latent, torch.zeros(shape).double())


def test_no_steps_are_refused(flow: RidgeFlow, latent: Tensor, speed: Tensor) -> None:
    with pytest.raises(ConfigError, match="steps_per_frame=0"):
        transport(flow, latent, speed, steps_per_frame=0)

"""The published penalties against automatic differentiation, sample by sample."""

import math

import pytest
import torch
from pyro.distributions import Normal
from torch import Tensor, nn

from mutoscope.zoo.fields import AbstractFlow, PotentialField, RotationalField, StackedFlow
from mutoscope.zoo.flow_penalties import (
    density_mismatch,
    hamilton_jacobi_residual,
    hamilton_jacobi_terms,
    initial_motion,
)
from mutoscope.zoo.nets import mlp
from mutoscope.zoo.transport import transport

B, T, K, D = 4, 3, 2, 5


def mismatch_of(
    flow: AbstractFlow, start: Tensor, speed: Tensor, log_prob: Tensor, diffusion: Tensor
) -> Tensor:
    return density_mismatch(transport(flow, start, speed, density=True), speed, log_prob, diffusion)


@pytest.fixture
def potential() -> PotentialField:
    return PotentialField(K, D, 6, time_dependent=True).double()


def automatic_terms(
    field: PotentialField, point: Tensor, time: Tensor, k: int, force: nn.Module | None
) -> tuple[Tensor, Tensor]:
    """Return the residual and the kinetic energy of one potential at one point."""
    point, time = point.clone().requires_grad_(), time.clone().requires_grad_()
    gradient, change = torch.autograd.grad(field.potential(point, time)[k], [point, time])
    energy = gradient.square().sum() / 2
    residual = change + energy
    if force is not None:
        residual = residual + force(torch.cat([point, time.unsqueeze(0)])).square().squeeze()
    return residual, energy


@pytest.mark.parametrize("has_force", [False, True])
def test_residual_agrees_with_automatic_differentiation(
    potential: PotentialField, has_force: bool
) -> None:
    force = mlp([D + 1, 4, 1]).double() if has_force else None
    latent, times = torch.randn(B, T + 1, D).double(), torch.arange(T + 1).double()
    residual, energy = hamilton_jacobi_terms(potential, latent, times, force)
    assert residual.shape == energy.shape == (B, T + 1, K)
    for index in [(0, 0, 0), (1, 2, 1), (3, 3, 0)]:
        sequence, frame, k = index
        expected = automatic_terms(potential, latent[sequence, frame], times[frame], k, force)
        assert abs(residual[index] - expected[0]) <= 1e-10
        assert abs(energy[index] - expected[1]) <= 1e-10


def test_residual_of_a_sequence_does_not_depend_on_the_batch(potential: PotentialField) -> None:
    latent = torch.randn(B, T + 1, D).double()
    together = hamilton_jacobi_residual(potential, latent, None)
    apart = torch.stack([hamilton_jacobi_residual(potential, x, None) for x in latent])
    assert together.shape == (B,)
    assert torch.allclose(together, apart)


def test_residual_is_the_mean_square_of_its_terms(potential: PotentialField) -> None:
    latent, times = torch.randn(B, T + 1, D).double(), torch.arange(T + 1).double()
    residual, _ = hamilton_jacobi_terms(potential, latent, times, None)
    expected = residual.square().mean((-1, -2))
    assert torch.allclose(hamilton_jacobi_residual(potential, latent, None), expected)


def test_initial_motion_is_that_of_the_frame_before(potential: PotentialField) -> None:
    start = torch.randn(B, D).double()
    velocity = potential(start, torch.tensor(-1.0).double())
    assert torch.allclose(initial_motion(potential, start), velocity.square().sum(-1).mean(-1))


def test_density_mismatch_at_rest_is_a_sum_of_differences() -> None:
    start, scale = torch.randn(B, D).double(), torch.tensor(0.5).double()
    law = Normal(torch.zeros(D).double(), scale).to_event(1)
    flow = PotentialField(K, D).double().flow()
    mismatch = mismatch_of(
        flow, start, torch.zeros(B, T, K).double(), law.log_prob(start), torch.ones(K).double()
    )
    prior = Normal(torch.zeros(D).double(), torch.ones(()).double()).to_event(1)
    assert torch.allclose(mismatch, T * (law.log_prob(start) - prior.log_prob(start)))


def test_density_mismatch_widens_the_prior_with_speed() -> None:
    """A rotation leaves the guide's density alone, so only the prior's variance changes."""
    start, speed = torch.randn(B, D).double(), torch.randn(B, T, K).double()
    flow = RotationalField(K, D).double().flow()
    diffusion, zero = torch.tensor([0.3, 1.2]).double(), torch.zeros(B).double()
    mismatch = mismatch_of(flow, start, speed, zero, diffusion)
    latent, expected = transport(flow, start, speed).latent, zero
    for frame in range(1, T + 1):
        variance = 1 + 2 * (speed[:, :frame].abs() @ diffusion).sum(-1)
        squares = latent[:, frame].square().sum(-1) / variance
        expected = expected + 0.5 * (squares + D * torch.log(2 * math.pi * variance))
    assert torch.allclose(mismatch, expected)


def test_density_mismatch_is_a_divergence() -> None:
    """It is minus the log-ratio of densities, so its mean under the guide is not negative."""
    law = Normal(torch.zeros(D).double(), torch.ones(()).double()).to_event(1)
    start = law.sample(torch.Size([20000]))
    flow = PotentialField(K, D).double().flow()
    mismatch = mismatch_of(
        flow,
        start,
        torch.ones(20000, 1, K).double(),
        law.log_prob(start),
        torch.full((K,), 1e-12).double(),
    )
    assert mismatch.mean() > 4 * mismatch.std() / len(mismatch) ** 0.5


def test_both_halves_diffuse_under_double_control() -> None:
    start, zero = torch.randn(B, D).double(), torch.zeros(B).double()
    flow = StackedFlow(
        [PotentialField(K, D).double().flow(), RotationalField(K, D).double().flow()]
    )
    widened = []
    for half in (slice(0, K), slice(K, 2 * K)):
        speed = torch.zeros(B, T, 2 * K).double()
        speed[..., half] = 1e-9  # diffuses as at speed 1, but nothing moves
        widened.append(mismatch_of(flow, start, speed, zero, 1e9 * torch.ones(K).double()))
    rest = mismatch_of(flow, start, torch.zeros_like(speed), zero, torch.ones(K).double())
    assert torch.allclose(*widened)
    assert (widened[0] - rest).abs().min() > 0.1

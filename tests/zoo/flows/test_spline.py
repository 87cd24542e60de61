"""Splines stay finite where rounding takes a place out of its bin."""

import torch

from mutoscope.zoo.flows.spline import apply_spline, numbers_of


def test_steep_splines_are_finite_and_the_identity_beyond_their_bound():
    free = (30 * torch.randn(20_000, numbers_of(8))).requires_grad_()
    value = torch.empty(20_000).uniform_(-6, 6)
    moved, log_slope = apply_spline(value, free, bound=5.0)
    beyond = value.abs() >= 5
    assert torch.equal(moved[beyond], value[beyond])
    assert (log_slope[beyond] == 0).all()
    assert log_slope.isfinite().all()
    assert torch.autograd.grad(log_slope.sum(), free)[0].isfinite().all()

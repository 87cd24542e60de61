"""Rounding, and what may have been rounded."""

import math

import pytest
import torch
from pyro.distributions import Normal

from mutoscope.zoo.distributions import Rounded, Unrounded

STEP = 1 / 255


def test_all_mass_is_on_the_nearest_multiple():
    value = torch.tensor([[0.1, 0.26], [1.4, -0.3]])
    rounded = Rounded(value, 0.5, 1)
    found = rounded.sample()
    assert found.tolist() == [[0.0, 0.5], [1.5, -0.5]]
    assert rounded.batch_shape == (2,)
    assert rounded.log_prob(found).tolist() == [0, 0]
    assert rounded.log_prob(found + torch.tensor([0.5, 0])).tolist() == [-math.inf, -math.inf]
    assert rounded.expand((3, 2)).log_prob(found).shape == (3, 2)


def test_every_draw_rounds_back_and_has_the_density_of_a_cell():
    level = torch.arange(256).repeat(2000).reshape(-1, 256) / 255
    torch.manual_seed(0)
    cell = Unrounded(level, STEP)
    drawn = cell.rsample()
    expected = torch.full((2000,), -256 * math.log(STEP))
    torch.testing.assert_close(cell.log_prob(drawn), expected)
    assert Rounded(drawn, STEP, 1).log_prob(level).abs().max() == 0
    back = (Rounded(drawn, STEP, 1).sample() - level).abs() < 1e-6
    assert float(back.float().mean()) > 1 - 1e-5  # but for draws on the very edge of a cell
    assert bool(cell.log_prob(drawn + 0.6 * STEP).isneginf().all())


def test_draws_are_uniform():
    torch.manual_seed(0)
    cell = Unrounded(torch.zeros(1), 2.0)
    drawn = cell.rsample((20_000,))
    assert float(drawn.var()) == pytest.approx(4 / 12, rel=0.03)
    assert cell.expand((5,)).rsample().shape == (5, 1)


def test_together_they_bound_the_probability_of_a_rounded_normal():
    density = Normal(0.3, 0.02)
    level = torch.arange(60, 90) / 255
    torch.manual_seed(0)
    cell = Unrounded(level.unsqueeze(-1), STEP)
    drawn = cell.rsample((4000,))
    bound = density.log_prob(drawn).squeeze(-1) - cell.log_prob(drawn)
    exact = (density.cdf(level + STEP / 2) - density.cdf(level - STEP / 2)).log()
    assert bool((bound.mean(0) <= exact + 1e-3).all())
    torch.testing.assert_close(bound.exp().mean(0).log(), exact, rtol=0, atol=0.03)

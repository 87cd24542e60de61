import math

import pytest
import torch
from pyro.distributions import Normal

from mutoscope.inference.metrics import bits_per_dimension
from mutoscope.zoo.errors import ConfigError, DataError


def test_levels_that_are_equally_likely_cost_all_their_bits():
    assert bits_per_dimension(torch.full((5,), -12 * math.log(256)), 12) == pytest.approx(8)
    density_of_unit_cube = torch.zeros(5)
    assert bits_per_dimension(density_of_unit_cube, 12, step=1 / 256) == pytest.approx(8)


def test_a_normal_costs_its_entropy_over_the_step():
    scale, step = 0.2, 1 / 255
    x = scale * torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    found = bits_per_dimension(Normal(0.0, scale).log_prob(x).sum(-1), 1, step=step)
    expected = math.log2(scale * math.sqrt(2 * math.pi * math.e) / step)
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("dim", "step"), [(0, None), (3, 0.0), (3, -1.0), (3, math.inf)])
def test_impossible_sizes(dim, step):
    with pytest.raises(ConfigError, match="positive"):
        bits_per_dimension(torch.zeros(3), dim, step=step)
    with pytest.raises(DataError, match="NaN"):
        bits_per_dimension(torch.tensor([math.nan]), 3)

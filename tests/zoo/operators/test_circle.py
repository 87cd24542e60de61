"""The operator of a circle obeys the laws of rotations."""

import math

import pytest
import torch

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.finite_group import FiniteGroup
from mutoscope.zoo.operators import CircleOperator, complex_operator

F, D = 3, 16


@pytest.fixture
def operator():
    return CircleOperator(F, D).double()


def numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def matrix(operator, angle):
    return operator(torch.eye(D, dtype=torch.float64), torch.tensor(angle, dtype=torch.float64)).T


def test_angles_add_up(operator):
    code, a, b = numbers(5, D), numbers(5), 4 * numbers(5)
    both = operator(operator(code, a), b)
    assert torch.allclose(both, operator(code, a + b), atol=1e-12)
    assert torch.allclose(operator(operator(code, a), -a), code, atol=1e-12)
    assert torch.allclose(operator(code, torch.tensor(2 * math.pi)), code, atol=1e-12)
    assert torch.allclose(operator(code, a).norm(dim=-1), code.norm(dim=-1), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
def test_each_frequency_turns_equally_many_planes(operator, angle):
    planes = D // (2 * (F + 1))
    expected = sum(2 * planes * math.cos(f * angle) for f in range(F + 1))
    assert float(matrix(operator, angle).trace()) == pytest.approx(expected, abs=1e-10)


def test_steps_are_those_of_a_cyclic_group(operator):
    order = 2 * (F + 1)
    finite = complex_operator(FiniteGroup((order,)), 2 * 2 * order).double()
    code = numbers(2 * 2 * order)
    for step in range(order):
        turned = finite(code, torch.tensor(step))[:D]  # frequencies 0 to F come first
        angle = torch.tensor(2 * math.pi * step / order, dtype=torch.float64)
        assert torch.allclose(operator(code[:D], angle), turned, atol=1e-10)


def test_products_for_all_angles_at_once_are_those_one_by_one(operator):
    code, rows = numbers(2, 3, D), numbers(7, D)
    angle = torch.arange(9, dtype=torch.float64) * (2 * math.pi / 9)
    one_by_one = operator(code.unsqueeze(-2), angle) @ rows.T
    assert torch.allclose(operator.products(code, rows, 9), one_by_one, atol=1e-12)


def test_codes_that_fit_no_planes_are_refused():
    with pytest.raises(ConfigError, match=r"latent_dim=15.*multiple of 8, such as 16"):
        CircleOperator(F, 15)

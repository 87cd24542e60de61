"""Operators are representations: exactly, in double precision."""

import math

import pytest
import torch

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.finite_group import FiniteGroup
from mutoscope.zoo.operators import (
    ShiftOperator,
    StackedOperator,
    complex_operator,
    disentangled_operator,
)

EXACT = 1e-10
CYCLE, PAIR = FiniteGroup((7,)), FiniteGroup((3, 4))
TURNS = FiniteGroup((4, 3, 3), turning=True)
MAKE = {
    "shift": ShiftOperator,
    "complex": complex_operator,
    "disentangled": disentangled_operator,
    "stacked": StackedOperator,
}
CASES = [(name, group) for name in MAKE for group in (CYCLE, FiniteGroup((8,)), PAIR)]
CASES = [(name, group) for name, group in CASES if name != "stacked" or len(group.orders) == 1]
CASES.append(("shift", TURNS))
EACH = pytest.mark.parametrize(
    ("name", "group"), CASES, ids=[f"{name}-{group.orders}" for name, group in CASES]
)


def make(name, group, copies=1):
    operator = MAKE[name](group, 2 * copies * len(group)).double()
    for parameter in operator.parameters():
        torch.nn.init.normal_(parameter)
    return operator


def matrices(operator):
    """Return the matrix of each element."""
    one = torch.eye(operator.latent_dim, dtype=torch.float64)
    element = torch.arange(len(operator.group))
    return operator(one, element[:, None]).mT.detach()


def distance(a, b):
    return float((a - b).abs().max())


@EACH
def test_products_go_to_products_and_nothing_to_the_identity(name, group):
    psi = matrices(make(name, group))
    assert distance(psi[:, None] @ psi, psi[group.table]) < EXACT
    assert distance(psi[0], torch.eye(len(psi[0]))) < EXACT
    assert distance(psi @ psi[group.inverse], torch.eye(len(psi[0]))) < EXACT


@EACH
def test_after_its_order_every_factor_is_back(name, group):
    psi = matrices(make(name, group))
    for i, order in enumerate(group.orders):
        step = psi[group.index(torch.eye(len(group.orders), dtype=torch.long)[i])]
        assert distance(torch.linalg.matrix_power(step, order), torch.eye(len(step))) < EXACT


@EACH
def test_lengths_and_angles_stay(name, group):
    psi = matrices(make(name, group))
    assert distance(psi.mT @ psi, torch.eye(len(psi[0]))) < EXACT


@pytest.mark.parametrize("name", ["shift", "complex"])
@pytest.mark.parametrize("group", [CYCLE, PAIR], ids=lambda g: str(g.orders))
def test_distributed_operators_have_the_character_of_the_regular_representation(name, group):
    trace = matrices(make(name, group, copies=2)).diagonal(dim1=-2, dim2=-1).sum(-1)
    expected = torch.zeros(len(group), dtype=torch.float64)
    expected[0] = 4 * len(group)
    assert distance(trace, expected) < EXACT


def test_the_disentangled_operator_has_another_character():
    psi = matrices(make("disentangled", CYCLE))
    turn = torch.arange(7, dtype=torch.float64) * 2 * math.pi / 7
    expected = len(psi[0]) - 2 + 2 * turn.cos()
    assert distance(psi.diagonal(dim1=-2, dim2=-1).sum(-1), expected) < EXACT


@pytest.mark.parametrize("group", [CYCLE, PAIR], ids=lambda g: str(g.orders))
def test_the_complex_form_is_the_fourier_transform_of_the_shift(group):
    copies, count = 3, len(group)
    shift, planes = make("shift", group, copies), make("complex", group, copies)
    latent = torch.randn(5, 2 * copies * count, dtype=torch.float64)

    def transformed(latent):
        blocks = torch.view_as_complex(latent.unflatten(-1, (*group.orders, copies, 2)))
        axes = tuple(range(1, 1 + len(group.orders)))
        return torch.view_as_real(torch.fft.ifftn(blocks, dim=axes, norm="ortho")).flatten(1)

    for element in range(count):
        k = torch.tensor(element)
        assert distance(transformed(shift(latent, k)), planes(transformed(latent), k)) < EXACT


@pytest.mark.parametrize("group", [PAIR, TURNS], ids=lambda g: str(g.orders))
def test_stacked_factors_are_each_a_representation_whatever_the_bases(group):
    operator = make("stacked", group)
    psi = matrices(operator)
    one = torch.eye(len(psi[0]), dtype=torch.float64)
    powers = group.powers(max(group.orders) + 1)
    product = one
    for i, order in enumerate(group.orders):
        step = group.index(torch.eye(len(group.orders), dtype=torch.long)[i])
        for k in range(order):
            repeated = torch.linalg.matrix_power(psi[step], k)
            assert distance(psi[powers[step, k]], repeated) < EXACT
        assert distance(torch.linalg.matrix_power(psi[step], order), one) < EXACT
        product = psi[step] @ product
    assert distance(psi[group.index(torch.ones(len(group.orders), dtype=torch.long))], product) < (
        EXACT
    )
    assert distance(psi.mT @ psi, one) < EXACT


def test_stacked_factors_commute_where_bases_agree():
    operator = StackedOperator(PAIR, 48).double()
    for parameter in operator.skew:
        torch.nn.init.zeros_(parameter)
    expected = complex_operator(PAIR, 48).double()
    assert distance(matrices(operator), matrices(expected)) < EXACT


@EACH
def test_correlation_finds_the_element_that_acted(name, group):
    operator = make(name, group)
    latent = torch.randn(6, 1, operator.latent_dim, dtype=torch.float64)
    element = torch.arange(len(group))
    found = operator.correlation(latent, operator(latent, element))
    assert torch.equal(found.argmax(-1), element.expand(6, -1))
    assert float(found.detach().max()) == pytest.approx(1)
    assert float(found.detach().min()) >= -1 - EXACT


@pytest.mark.parametrize("copies", [1, 3])
@EACH
def test_products_with_all_elements_are_those_with_each(name, group, copies):
    operator = make(name, group, copies)
    latent = torch.randn(2, 5, operator.latent_dim, dtype=torch.float64)
    rows = torch.randn(6, operator.latent_dim, dtype=torch.float64)
    found = operator.products(latent, rows)
    for k in range(len(group)):
        assert distance(found[..., k, :], operator(latent, torch.tensor(k)) @ rows.T) < EXACT


def test_codes_that_are_zero_have_a_correlation_and_a_gradient():
    for name in ("shift", "complex"):
        first = torch.zeros(2, 14, dtype=torch.float64, requires_grad=True)
        found = make(name, CYCLE).correlation(first, torch.randn(2, 14, dtype=torch.float64))
        assert not found.any()
        found.sum().backward()
        assert first.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "dim", "said"),
    [
        ("shift", 10, "a multiple of 7, such as 7"),
        ("shift", 18, "such as 21"),
        ("complex", 18, "a multiple of 14, such as 14"),
        ("disentangled", 0, "a multiple of 2, such as 2"),
        ("disentangled", 7, "a multiple of 2, such as 8"),
        ("stacked", 21, "a multiple of 14"),
    ],
)
def test_latents_that_do_not_fit_are_refused_with_sizes_that_do(name, dim, said):
    with pytest.raises(ConfigError, match=said):
        MAKE[name](CYCLE, dim)


@pytest.mark.parametrize("name", ["complex", "disentangled"])
def test_phases_know_no_order(name):
    with pytest.raises(ConfigError, match="order matters"):
        MAKE[name](TURNS, 72)

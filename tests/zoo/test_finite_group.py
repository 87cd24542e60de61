"""Groups of transformations: their laws, and what relabellings keep them."""

import math

import pytest
import torch

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.finite_group import FiniteGroup

GROUPS = [FiniteGroup((7,)), FiniteGroup((8,)), FiniteGroup((3, 4)), FiniteGroup((2, 3, 2))]
TURNING = [FiniteGroup((4, 3, 3), turning=True), FiniteGroup((2, 5, 5), turning=True)]
ALL = pytest.mark.parametrize("group", GROUPS + TURNING, ids=lambda g: f"{g.orders}{g.turning}")


def triples(group):
    element = torch.arange(len(group))
    return element[:, None, None], element[:, None], element


@ALL
def test_products_associate(group):
    a, b, c = triples(group)
    table = group.table
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])


@ALL
def test_the_first_element_does_nothing_and_inverses_undo(group):
    element = torch.arange(len(group))
    assert torch.equal(group.table[0], element)
    assert torch.equal(group.table[:, 0], element)
    for inverse in (group.table[element, group.inverse], group.table[group.inverse, element]):
        assert not inverse.any()


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: str(g.orders))
def test_without_turning_order_does_not_matter(group):
    assert torch.equal(group.table, group.table.T)


def test_a_quarter_turn_carries_a_step_to_the_right_into_one_upwards():
    group = FiniteGroup((4, 5, 5), turning=True)
    turn, right, up = group.index(torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, -1]]))
    assert group.table[turn, right] == group.table[up, turn]
    assert group.table[turn, right] != group.table[right, turn]


@ALL
def test_powers_are_repeated_products(group):
    powers = group.powers(5)
    element = torch.arange(len(group))
    expected = torch.zeros_like(element)
    for k in range(5):
        assert torch.equal(powers[:, k], expected)
        expected = group.table[expected, element]


@pytest.mark.parametrize("order", [2, 7, 8, 10, 12])
def test_automorphisms_of_a_cycle_multiply_by_what_is_prime_to_it(order):
    found = FiniteGroup((order,)).automorphisms()
    units = [u for u in range(order) if math.gcd(u, order) == 1]
    expected = {tuple(u * k % order for k in range(order)) for u in units}
    assert set(map(tuple, found.tolist())) == expected


def test_automorphisms_of_a_prime_square_are_the_invertible_matrices():
    assert len(FiniteGroup((3, 3)).automorphisms()) == (9 - 1) * (9 - 3)


@ALL
def test_automorphisms_keep_products_and_include_doing_nothing(group):
    found = group.automorphisms()
    element = torch.arange(len(group))
    assert (found == element).all(-1).any()
    left = found[:, group.table]
    assert torch.equal(left, group.table[found[:, :, None], found[:, None, :]])
    assert len(found.unique(dim=0)) == len(found)


def test_inner_automorphisms_are_found():
    group = TURNING[0]
    found = set(map(tuple, group.automorphisms().tolist()))
    for a in range(len(group)):
        conjugated = group.table[group.table[a], group.inverse[a]]
        assert tuple(conjugated.tolist()) in found


def test_elements_are_named_by_their_steps():
    labels = FiniteGroup((2, 3), ("rotation", "translation_x")).labels
    assert labels[0] == "rotation 0/2, translation_x 0/3"
    assert labels[-1] == "rotation 1/2, translation_x 2/3"
    assert len(set(labels)) == 6


@pytest.mark.parametrize(
    ("orders", "options", "said"),
    [
        ((1,), {}, "at least 2"),
        ((), {}, "at least 2"),
        ((100, 100), {}, "at most 4096"),
        ((3,), {"names": ("a", "b")}, "Name each factor"),
        ((3, 5, 5), {"turning": True}, "right angles"),
        ((4, 5, 6), {"turning": True}, "right angles"),
        ((4,), {"turning": True}, "right angles"),
    ],
)
def test_what_makes_no_group_is_refused(orders, options, said):
    with pytest.raises(ConfigError, match=said):
        FiniteGroup(orders, **options)


def test_too_many_relabellings_are_not_tried():
    with pytest.raises(ConfigError, match="one by one"):
        FiniteGroup((8, 8, 8)).automorphisms()

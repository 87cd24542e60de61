"""Cross-talk of maps of which it is known which block listens to which."""

import math

import pytest
import torch

from mutoscope.inference.metrics import cross_talk
from mutoscope.zoo.errors import DataError

TRUE = torch.rand(50, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def turned(true, angle):
    first, second = true.unbind(1)
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.stack([cosine * first + sine * second, cosine * second - sine * first], 1)


def test_blocks_in_any_order_and_any_map_within_them_do_not_talk():
    found = cross_talk(lambda true: torch.exp(3 * true.flip(1)) @ torch.rand(2, 2).double(), TRUE)
    torch.testing.assert_close(torch.as_tensor(found.shares), torch.eye(2).double().flip(0))
    assert found.total == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("angle", [0.1, 0.3, math.pi / 4])
def test_a_turn_talks_as_the_square_of_its_sine(angle):
    assert cross_talk(lambda true: turned(true, angle), TRUE).total == pytest.approx(
        math.sin(angle) ** 2
    )


def test_coordinates_that_are_grouped_wrongly_talk_by_half():
    assert cross_talk(lambda true: true.mT, TRUE).total == pytest.approx(0.5)


def test_only_the_datum_itself_counts_and_blocks_that_nothing_moves_say_nothing():
    found = cross_talk(lambda true: torch.cat([true, torch.zeros_like(true) * true], 1), TRUE)
    assert found.shares[2:].sum() == 0
    assert found.total == pytest.approx(0)


def test_what_is_no_block_is_refused():
    with pytest.raises(DataError, match="block and latent"):
        cross_talk(lambda true: true.sum(2), TRUE)
    with pytest.raises(DataError, match="truth, coordinate"):
        cross_talk(lambda true: true, TRUE[0])

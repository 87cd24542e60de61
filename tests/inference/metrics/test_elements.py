import numpy as np
import pytest

from mutoscope.inference.metrics import element_accuracy
from mutoscope.zoo.errors import DataError
from mutoscope.zoo.finite_group import FiniteGroup

AUTOMORPHISMS = FiniteGroup((7,)).automorphisms()
ACTED = np.arange(70) % 7


def certain(element, size=7):
    return np.eye(size)[element]


@pytest.mark.parametrize("unit", range(1, 7))
def test_an_automorphism_costs_nothing(unit):
    found = element_accuracy(certain(unit * ACTED % 7), ACTED, AUTOMORPHISMS)
    assert found.accuracy == 1
    assert found.relabelling.tolist() == [unit * k % 7 for k in range(7)]
    assert np.array_equal(found.confusion, certain(found.relabelling))


def test_other_relabellings_do():
    swapped = np.array([0, 2, 1, 3, 4, 5, 6])[ACTED]
    assert element_accuracy(certain(swapped), ACTED, AUTOMORPHISMS).accuracy == pytest.approx(5 / 7)


def test_a_subgroup_is_half_the_truth():
    acted = np.arange(80) % 8
    found = element_accuracy(certain(2 * acted % 8, 8), acted, FiniteGroup((8,)).automorphisms())
    assert found.accuracy <= 0.5


def test_confusion_averages_probabilities():
    posterior = np.full((70, 7), 1 / 7)
    found = element_accuracy(posterior, ACTED, AUTOMORPHISMS)
    assert np.allclose(found.confusion, 1 / 7)
    few = element_accuracy(posterior[:3], ACTED[:3], AUTOMORPHISMS).confusion
    assert not few[3:].any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="relabellings"):
        element_accuracy(certain(ACTED), ACTED[:-1], AUTOMORPHISMS)
    with pytest.raises(DataError, match="one group"):
        element_accuracy(certain(ACTED), ACTED + 1, AUTOMORPHISMS)

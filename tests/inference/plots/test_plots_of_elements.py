import numpy as np
import pytest
import torch

from mutoscope.inference.metrics import TopologicalDefect, angle_agreement, element_accuracy
from mutoscope.inference.plots import plot_angles, plot_confusion, plot_defect, plot_orbit
from mutoscope.zoo.errors import DataError
from mutoscope.zoo.finite_group import FiniteGroup

from .samples import words


def thirds():
    acted = np.arange(70) % 7
    posterior = 0.9 * np.eye(7)[3 * acted % 7] + 0.1 / 7
    return element_accuracy(posterior, acted, FiniteGroup((7,)).automorphisms())


def test_confusion_boxes_the_automorphism():
    figure = plot_confusion(thirds())
    axes = figure.axes[0]
    boxes = {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)) for p in axes.patches}
    assert boxes == {(k, 3 * k % 7) for k in range(7)}
    np.testing.assert_allclose(axes.images[0].get_array(), thirds().confusion)
    assert "Accuracy 1.00" in words(figure)


def test_angles_are_drawn_in_degrees_with_intervals_that_miss_in_another_colour():
    true = np.radians([-90.0, 10.0, 100.0])
    spread = np.radians(np.linspace(-2, 2, 101))[:, None]
    figure = plot_angles(angle_agreement(true + np.radians([0, 0, 5]) + spread, true))
    holds, misses = figure.axes[0].lines[1:]
    np.testing.assert_allclose(holds.get_xydata(), [[-90, 0], [10, 0]], atol=1e-9)
    np.testing.assert_allclose(misses.get_xydata(), [[100, 5]], atol=1e-9)
    bar = figure.axes[0].collections[1].get_segments()[0]
    assert bar[1, 1] - bar[0, 1] == pytest.approx(3.6, abs=0.06)
    assert "67% of 90% intervals hold the truth" in words(figure)


def test_names_of_many_elements_are_thinned_out():
    acted = np.arange(50)
    found = element_accuracy(np.eye(50), acted, acted[None])
    labels = plot_confusion(found).axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [str(k) for k in range(0, 50, 3)]


def test_orbits_show_the_pixels_as_they_are():
    truth, ours = torch.rand(2, 3, 1, 5, 5)
    axes = plot_orbit({"truth": truth, "ours": ours}, elements=["e", "a", "b"]).axes[0]
    canvas = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(canvas[:5, :5], truth[0, 0])
    np.testing.assert_allclose(canvas[-5:, -5:], ours[2, 0])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["e", "a", "b"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["truth", "ours"]


def test_defects_are_drawn_as_ratios():
    steps = np.array([31, 63])
    found = TopologicalDefect(steps, np.array([2.0, 2.0]), np.array([0.1, 0.05]))
    (line,) = plot_defect({"torn": found}).axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [20, 40])


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="1 names for 7"):
        plot_confusion(thirds(), elements=["one"])
    with pytest.raises(DataError, match="name for each element"):
        plot_orbit({"truth": torch.rand(3, 1, 5, 5)}, elements=["one"])
    with pytest.raises(DataError, match="one shape"):
        plot_orbit({"a": torch.rand(3, 1, 5, 5), "b": torch.rand(2, 1, 5, 5)})
    with pytest.raises(DataError, match="0 codes"):
        plot_defect({})

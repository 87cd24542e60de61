"""One of each figure, for the laws that hold for all of them."""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mutoscope.inference.metrics import (
    TopologicalDefect,
    angle_agreement,
    core_agreement,
    element_accuracy,
    match_fields,
    sparse_mean,
)
from mutoscope.inference.plots import (
    plot_activity,
    plot_agreement,
    plot_angles,
    plot_calibration,
    plot_confusion,
    plot_correlation,
    plot_coverage,
    plot_defect,
    plot_forest,
    plot_frames,
    plot_information,
    plot_khat,
    plot_orbit,
    plot_pairs,
    plot_spectrum,
    plot_speeds,
    plot_strips,
    plot_training,
    plot_traversals,
)
from mutoscope.zoo.finite_group import FiniteGroup

Draw = Callable[[Any], Figure]


def matched(idata: Any) -> Figure:
    speed = sparse_mean(idata["posterior"]["speed"].values[0])
    return plot_correlation(match_fields(speed, idata["constant_data"]["speed"].values))


def frames(idata: Any) -> Figure:
    del idata
    return plot_frames(torch.rand(3, 5, 3, 8, 6), torch.rand(3, 5, 3, 8, 6))


def training(idata: Any) -> Figure:
    del idata
    return plot_training(history())


def history(rows: int = 20) -> dict[str, list[float]]:
    steps = list(range(rows))
    return {
        "step": steps,
        "seconds": steps,
        "elbo": [-1000 / (1 + s) for s in steps],
        "validation elbo": [-1100 / (1 + s) if s % 5 == 0 else np.nan for s in steps],
        "log p(images)": [-900 / (1 + s) for s in steps],
        "KL(z0)": [10.0 for s in steps],
        "KL(speed)": [10.0 for s in steps],
    }


def calibration(idata: Any) -> Figure:
    del idata
    places = np.random.default_rng(0).random((3, 200))
    return plot_calibration(places**2, names=["speed[field 0]", "spike", "log_likelihood"])


def coverage(idata: Any) -> Figure:
    del idata
    share = np.array([[0.4, 0.5], [0.8, 0.9]])
    return plot_coverage([0.5, 0.9], share, share - 0.05, share + 0.05, names=["before", "after"])


def khat(idata: Any) -> Figure:
    del idata
    return plot_khat(np.linspace(-0.2, 1.3, 50))


def forest(idata: Any) -> Figure:
    return plot_forest(idata["posterior"]["speed"], sequence=2)


def pairs(idata: Any) -> Figure:
    return plot_pairs(idata["posterior"]["speed"])


def traversals(idata: Any) -> Figure:
    del idata
    return plot_traversals(torch.rand(3, 2, 5, 1, 6, 8), (-1.0, 0.5))


def spectrum(idata: Any) -> Figure:
    del idata
    return plot_spectrum(np.linspace(1, -0.8, 20), floor=-0.9, components=np.linspace(1, -0.9, 20))


def information(idata: Any) -> Figure:
    del idata
    return plot_information(np.full((5, 5), 0.1))


def strips(idata: Any) -> Figure:
    del idata
    return plot_strips(
        {"image": torch.rand(4, 3, 8, 6), "2 latents": torch.rand(4, 3, 8, 6)}, title="a"
    )


def agreement(idata: Any) -> Figure:
    del idata
    codes = np.random.default_rng(0).normal(size=(50, 6))
    return plot_agreement(core_agreement(codes, codes[:, ::-1] + codes))


def angles(idata: Any) -> Figure:
    del idata
    rng = np.random.default_rng(0)
    true = rng.uniform(-np.pi, np.pi, 30)
    return plot_angles(angle_agreement(true + rng.normal(0.01, 0.02, (50, 30)), true))


def confusion(idata: Any) -> Figure:
    del idata
    acted = np.arange(200) % 10
    inferred = np.eye(10)[3 * acted % 10]
    found = element_accuracy(inferred, acted, FiniteGroup((10,)).automorphisms())
    return plot_confusion(found, elements=[f"rotation {k}/10" for k in range(10)])


def defect(idata: Any) -> Figure:
    del idata
    steps = np.array([31, 63, 127])
    torn = TopologicalDefect(steps, np.full(3, 2.0), 1 / steps)
    return plot_defect(
        {"disentangled": torn, "shift": TopologicalDefect(steps, 2 / steps, 1 / steps)}
    )


def orbit(idata: Any) -> Figure:
    del idata
    names = [f"translation_x {k}/4" for k in range(4)]
    return plot_orbit(
        {"truth": torch.rand(4, 1, 6, 8), "shift": torch.rand(4, 1, 6, 8)}, elements=names
    )


ALL = pytest.mark.parametrize(
    "draw",
    [
        plot_speeds,
        plot_activity,
        matched,
        frames,
        training,
        calibration,
        coverage,
        khat,
        forest,
        pairs,
        traversals,
        spectrum,
        information,
        strips,
        agreement,
        angles,
        confusion,
        defect,
        orbit,
    ],
)


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))

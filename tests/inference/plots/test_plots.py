import io
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.metrics import match_fields, sparse_mean
from mutoscope.inference.plots import (
    plot_activity,
    plot_correlation,
    plot_frames,
    plot_speeds,
    plot_training,
)
from mutoscope.zoo.errors import ConfigError, DataError

from .samples import ALL, Draw, history, words


@ALL
def test_a_figure_renders_and_leaves_the_users_settings(draw: Draw, idata: Any) -> None:
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"font.size": 31.0, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        figure = draw(idata)
        assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert len(picture.getvalue()) > 1000
    assert all(axes.get_facecolor() == (1, 1, 1, 1) for axes in figure.axes)


@ALL
def test_nothing_that_is_written_leaves_the_page(draw: Draw, idata: Any) -> None:
    figure = draw(idata)
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= figure.get_figwidth() + 0.02
    assert box.y1 <= figure.get_figheight() + 0.02


def test_speeds_stand_in_the_units_of_the_truth(idata: Any) -> None:
    figure = plot_speeds(idata, sequences=[1, 4])
    assert len(figure.axes) == 4
    truth = idata["constant_data"]["speed"].values
    for axes, (row, column) in zip(figure.axes, np.ndindex(2, 2), strict=True):
        lines = {line.get_label(): line.get_ydata()[:-1] for line in axes.lines}
        expected = truth[(1, 4)[row], :, column]
        np.testing.assert_allclose(lines["true"], expected)
        np.testing.assert_allclose(lines["inferred median"], expected, rtol=0.15)
    assert "rotation: c" in words(figure)
    assert "degree per frame" in words(figure)
    assert "log-scale per frame" in words(figure)


def test_bands_lie_in_each_other_about_the_median(idata: Any) -> None:
    axes = plot_speeds(idata, sequences=[0]).axes[1]
    wide, narrow = (c.get_paths()[0].get_extents() for c in axes.collections)
    assert wide.y0 <= narrow.y0 <= narrow.y1 <= wide.y1


def test_a_factor_without_a_field_is_drawn_alone(groups: Any) -> None:
    speed = groups["posterior"]["speed"]
    groups["posterior"] = {"speed": Labelled(speed.axes, speed.values[..., [2]])}
    factors = {"constant_data": {"factor": ["rotation", "scale"]}}
    figure = plot_speeds(to_arviz(groups, factors), sequences=[0])
    assert "scale: no field" in words(figure)
    assert "90% credible interval" in words(figure)


def test_activity_shows_probabilities_below_the_truth(idata: Any) -> None:
    figure = plot_activity(idata, sequences=[2, 3])
    true, _, inferred, _ = (axes.collections[0].get_array() for axes in figure.axes[:4])
    np.testing.assert_allclose(true.T, idata["constant_data"]["spike"].values[2])
    probability = idata["posterior"]["spike"].mean(("chain", "draw"))
    np.testing.assert_allclose(inferred.T, probability.values[2])


def test_activity_without_a_truth_shows_the_fields_alone(groups: Any) -> None:
    del groups["constant_data"]
    assert len(plot_activity(to_arviz(groups), sequences=[0]).axes) == 2  # with the colour bar


def test_every_correlation_is_written_and_every_match_boxed(idata: Any) -> None:
    speed = sparse_mean(idata["posterior"]["speed"].values[0])
    matching = match_fields(speed, idata["constant_data"]["speed"].values)
    figure = plot_correlation(matching, factors=["rotation", "scale"], fields=["a", "b", "c"])
    assert len(figure.axes[0].patches) == 2
    for value in matching.correlation_matrix.flat:
        assert f"{value:z.2f}" in words(figure)
    with pytest.raises(DataError, match="one name for each"):
        plot_correlation(matching, factors=["rotation"])


def test_frames_show_the_pixels_as_they_are() -> None:
    seen, reconstructed, carried = torch.rand(3, 2, 4, 1, 5, 5)
    axes = plot_frames(seen, reconstructed, carried, seen_frames=2, sequences=[1]).axes[0]
    canvas = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(canvas[:5, :5], seen[1, 0, 0])
    np.testing.assert_allclose(canvas[-5:, -5:], carried[1, 3, 0])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["seen", "reconstructed", "forecast from 2"]


def test_single_frames_are_side_by_side() -> None:
    seen, reconstructed = torch.rand(2, 6, 1, 1, 5, 5)
    figure = plot_frames(seen, reconstructed, sequences=[4, 1])
    (axes,) = figure.axes
    canvas = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(canvas[:5, -5:], seen[1, 0, 0])
    np.testing.assert_allclose(canvas[-5:, :5], reconstructed[4, 0, 0])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "1"]


def test_training_reads_rows_and_columns_alike() -> None:
    columns = history()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for figure in (plot_training(columns), plot_training(rows)):
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == ["ELBO", "Log-likelihood", "Divergence from the prior"]
        training, validation = figure.axes[0].lines
        np.testing.assert_allclose(training.get_ydata(), columns["elbo"])
        assert len(validation.get_xdata()) == 4


def test_labels_at_the_ends_of_lines_do_not_overlap() -> None:
    figure = plot_training(history())
    figure.draw_without_rendering()
    low, high = sorted(
        (text.get_window_extent() for text in figure.axes[-1].texts), key=lambda box: box.y0
    )
    assert low.y1 <= high.y0 + 1


def test_a_history_of_one_row_can_be_drawn() -> None:
    assert plot_training(history(rows=1)).axes


def test_what_cannot_be_drawn_is_refused(idata: Any) -> None:
    with pytest.raises(ConfigError, match="0 to 5"):
        plot_speeds(idata, sequences=[6])
    with pytest.raises(ConfigError, match="one or more"):
        plot_activity(idata, sequences=[])
    with pytest.raises(DataError, match="'pace'"):
        plot_speeds(idata, variable="pace")
    with pytest.raises(DataError, match="1 or 3 channels"):
        plot_frames(torch.rand(3, 5, 2, 8, 8), torch.rand(3, 5, 2, 8, 8))
    with pytest.raises(DataError, match="same one"):
        plot_frames(torch.rand(3, 5, 1, 8, 8), torch.rand(3, 4, 1, 8, 8))
    with pytest.raises(DataError, match="step"):
        plot_training({"elbo": [1.0]})
    with pytest.raises(DataError, match="term"):
        plot_training({"step": [1.0], "loss": [1.0]})
    with pytest.raises(DataError, match="step"):
        plot_training([])


def test_a_figure_shows_itself_in_a_notebook() -> None:
    picture = plot_training({"step": [1.0, 2.0], "elbo": [0.0, 1.0]})._repr_png_()
    assert picture.startswith(b"\x89PNG")

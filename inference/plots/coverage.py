"""How often intervals hold the truth, against how often they claim to."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .style import COLOURS, new_figure, styled

__all__ = ["plot_coverage"]

_MARKERS = "osD^v"


@styled
def plot_coverage(
    level: Shaped[Array, " level"],
    share: Shaped[Array, "level *series"],
    lower: Shaped[Array, "level *series"],
    upper: Shaped[Array, "level *series"],
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw the share of truths that intervals hold, with its own uncertainty.

    Args:
        level: Probability that intervals claim.
        share: Share of truths that they hold.
        lower: Lower end of the confidence interval of that share.
        upper: Its upper end.
        names: Of the series; numbered when None.

    Raises:
        DataError: Shapes differ, or there are more or fewer names than series.
    """
    levels, series, labels = _checked_series(level, (share, lower, upper), names)
    count = len(labels)
    figure = new_figure(max(4.2, 1.0 + len(levels) * (0.35 + 0.16 * count)), 3.4)
    axes = figure.subplots()
    places = np.arange(len(levels))
    axes.hlines(levels, places - 0.4, places + 0.4, color="#AAAAAA", linewidth=1.5, label="claimed")
    for index, (middle, low, high) in enumerate(series):
        axes.errorbar(
            places + 0.6 * ((index + 0.5) / count - 0.5),
            middle,
            np.abs([middle - low, high - middle]),
            color=COLOURS[index % len(COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            linestyle="none",
            label=labels[index],
        )
    axes.set_xticks(places, [f"{each:.3g}%" for each in 100 * levels])
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("probability that intervals claim")
    axes.set_ylabel("truths that they hold")
    figure.legend(loc="outside lower center", ncols=3)
    figure.suptitle("Coverage of central intervals")
    return figure


def _checked_series(
    level: Shaped[Array, " level"],
    numbers: Sequence[Shaped[Array, "level *series"]],
    names: Sequence[str] | None,
) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, "series kind level"], list[str]]:
    levels = checked(level, "levels", ("level",))
    found = [checked(each, "shares and their ends", ("...", "level")) for each in numbers]
    shapes = {each.shape for each in found}
    fits = len(shapes) == 1 and len(found[0]) == len(levels)
    series = np.stack([each.reshape(len(levels), -1).T for each in found], 1) if fits else None
    count = 0 if series is None else len(series)
    labels = [f"series {k}" for k in range(count)] if names is None else list(map(str, names))
    if series is None or len(labels) != count:
        raise DataError(
            f"Found {len(levels)} levels, shares and their ends of the shapes {sorted(shapes)} and "
            f"{len(labels)} names, but one share and two ends for each level and name are needed."
        )
    return levels, series, labels

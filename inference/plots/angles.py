"""Inferred angles against true ones, with the arcs that a posterior leaves open."""

import numpy as np
from matplotlib.figure import Figure

from ..metrics.angles import AngleAgreement
from .style import COLOURS, new_figure, styled

__all__ = ["plot_angles"]

_MOST = 200  # data that are drawn
_REACH = 1.5  # of the largest error of nineteen in twenty, which the picture shows


@styled
def plot_angles(found: AngleAgreement) -> Figure:
    """Draw what each inferred angle is off by, in degrees, and its interval.

    Args:
        found: What `angle_agreement` returned; of many data, the first 200 are drawn.
    """
    shown = slice(_MOST)
    true, error, lower, upper = (
        np.degrees(x[shown]) for x in (found.true, found.error, found.lower, found.upper)
    )
    covered = found.covered[shown]
    figure = new_figure(6.0, 3.2)
    axes = figure.subplots()
    axes.axhline(0, color="0.6", linewidth=0.8)
    for kind, colour, name in ((covered, COLOURS[0], "holds"), (~covered, COLOURS[1], "misses")):
        axes.vlines(true[kind], lower[kind], upper[kind], color=colour, linewidth=1.0, alpha=0.6)
        label = f"{found.level:.0%} interval {name} the truth"
        axes.plot(true[kind], error[kind], ".", color=colour, markersize=4, label=label)
    ends = np.abs(np.concatenate([lower, upper]))
    reach = _REACH * max(float(np.quantile(ends, 0.95)), 1e-3)
    axes.set_ylim(-reach, reach)
    axes.set_xlim(-185, 185)
    axes.set_xticks(range(-180, 181, 60))
    axes.set_xlabel("true angle (degrees)")
    axes.set_ylabel("inferred minus true (degrees)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False)
    axes.set_title(
        f"Median error {np.degrees(found.median_error):.2g} degrees; "
        f"{found.covered.mean():.0%} of {found.level:.0%} intervals hold the truth"
    )
    return figure

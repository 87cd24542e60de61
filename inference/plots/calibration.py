"""Whether places of true values among draws are uniform: distribution functions in their band."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..diagnostics.uniformity import bands, distribution_function
from ..metrics.arrays import Array, checked
from .style import COLOURS, label_ends, new_figure, styled

__all__ = ["plot_calibration"]

_INCHES = 2.6  # height of the axes


@styled
def plot_calibration(
    places: Shaped[Array, "quantity simulation"],
    *,
    names: Sequence[str] | None = None,
    probability: float = 0.95,
) -> Figure:
    """Draw by how much the distribution function of each quantity's places exceeds a uniform one.

    The band holds all quantities at once. One that leaves it is drawn in colour and named: above
    the band the truth lies too low among the draws, below it too high; first above and then below,
    it lies too often at the ends, so that the draws are too narrow.

    Args:
        places: Where true values lie among draws, 0 to 1, such as `Calibration.place`.
        names: Of the quantities; numbered when None.
        probability: Of the band, if all is calibrated.

    Raises:
        DataError: Numbers are not in 0 to 1, or there are more or fewer names than quantities.
    """
    values = checked(places, "places", ("quantity", "simulation"))
    labels = [f"quantity {k}" for k in range(len(values))] if names is None else list(names)
    if values.min() < 0 or values.max() > 1 or len(labels) != len(values):
        raise DataError(
            f"Found places from {values.min():g} to {values.max():g} and {len(labels)} names for "
            f"{len(values)} quantities, but places in 0 to 1 and a name for each are needed."
        )
    points, share = distribution_function(values)
    lower, upper = bands(values.shape[1], probability ** (1 / len(values)))
    figure = new_figure(5.2, _INCHES + 0.9)
    axes = figure.subplots()
    axes.fill_between(points, lower - points, upper - points, color="#DDDDDD", linewidth=0)
    axes.axhline(0, color="#999999", linewidth=0.6)
    outside = ((share < lower) | (share > upper)).any(1)
    for curve in share[~outside]:
        axes.plot(points, curve - points, color="#777777", linewidth=0.8)
    lines = []
    for index, colour in zip(np.flatnonzero(outside), COLOURS * len(labels), strict=False):
        lines += axes.plot(points, share[index] - points, color=colour, label=labels[index])
    axes.set_xlim(0, 1)
    axes.set_xlabel("place of the truth among the draws")
    axes.set_ylabel("distribution function\nminus that of uniform places")
    label_ends(axes, lines, _INCHES)
    inside = f"{(~outside).sum()} of {len(labels)} within the {probability:.0%} band"
    figure.suptitle(f"Calibration: {inside}")
    return figure

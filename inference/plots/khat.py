"""How well a guide's draws stand for the posterior: Pareto k of the weights of each datum."""

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ..metrics.arrays import Array, checked
from .style import COLOURS, new_figure, styled

__all__ = ["plot_khat"]

_GOOD = 0.5


@styled
def plot_khat(khat: Shaped[Array, " datum"], *, largest: float = 0.7) -> Figure:
    """Draw Pareto k of every datum, with how many are good, can be mended, or cannot.

    Args:
        khat: Shape of the tail of the importance weights, such as `Importance.khat`. What is below
            -1, even weights say, or above 10 is drawn there, infinite ones too.
        largest: Up to which k weights can mend the guide, such as `Importance.largest_khat`.

    Raises:
        DataError: There are no data, or some k is NaN.
    """
    values = checked(np.clip(np.asarray(khat, dtype=float), -1.0, 10.0), "k", ("datum",))
    largest = max(largest, _GOOD)
    kinds = {
        f"good (k < {_GOOD:g})": values < _GOOD,
        "weights can mend it": (values >= _GOOD) & (values <= largest),
        f"weights cannot mend it (k > {largest:.2g})": values > largest,
    }
    figure = new_figure(6.4, 3.0)
    axes = figure.subplots()
    for (kind, inside), colour in zip(kinds.items(), (0, 4, 1), strict=True):
        axes.plot(
            np.flatnonzero(inside),
            values[inside],
            "o",
            color=COLOURS[colour],
            markersize=3.5,
            markeredgewidth=0,
            label=f"{inside.mean():.0%} {kind}",
        )
    for edge in (_GOOD, largest):
        axes.axhline(edge, color="#777777", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_ylim(min(0.0, values.min()) - 0.05, max(1.0, 1.03 * values.max()))
    axes.set_xlabel("sequence")
    axes.set_ylabel("Pareto k")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2, handletextpad=0.2)
    figure.suptitle("How well draws stand for the posterior")
    return figure

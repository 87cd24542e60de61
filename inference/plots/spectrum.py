"""What each latent explains, in order, and how much of the whole the first ones do."""

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ..metrics.arrays import Array, checked
from .style import COLOURS, TRUTH, new_figure, styled

__all__ = ["plot_spectrum"]


@styled
def plot_spectrum(
    entropies: Shaped[Array, " latent"],
    *,
    floor: float | None = None,
    components: Shaped[Array, " component"] | None = None,
) -> Figure:
    """Draw explained entropies, most first, and the sum of what lies above the noise floor.

    Args:
        entropies: In nats; any order.
        floor: Entropy of one direction that holds noise alone, in nats.
        components: Entropies of principal components, for comparison.

    Raises:
        DataError: A number is not finite.
    """
    curves = {"flow": checked(entropies, "entropies", ("latent",))}
    if components is not None:
        curves["principal components"] = checked(components, "components", ("component",))
    figure = new_figure(6.8, 2.7)
    left, right = figure.subplots(1, 2)
    for (name, values), colour, style in zip(curves.items(), COLOURS, ("-", "--"), strict=False):
        values = np.sort(values)[::-1]
        ranks = np.arange(1, len(values) + 1)
        marker = "." if len(values) <= 64 else ""
        left.plot(ranks, values, style, marker=marker, color=colour, label=name)
        above = np.maximum(values - (values[-1] if floor is None else floor), 0)
        share = above.cumsum() / max(above.sum(), np.finfo(float).tiny)
        right.plot(ranks, share, style, marker=marker, color=colour, label=name)
    lowest = float(curves["flow"].min()) if floor is None else min(curves["flow"].min(), floor)
    left.set_ylim(lowest - 0.4, max(float(each.max()) for each in curves.values()) + 0.3)
    if floor is not None:
        left.axhline(floor, color=TRUTH, linewidth=0.8, linestyle=":")
        left.annotate(
            "noise floor",
            (0.02, floor),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            va="top",
            fontsize=7,
        )
    left.set(xlabel="latent", ylabel="explained entropy (nats)")
    right.set(xlabel="number of latents", ylabel="share above the floor", ylim=(0, 1.03))
    left.legend()
    figure.suptitle("What each latent explains")
    return figure

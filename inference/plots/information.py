"""How far latents move the data in each other's directions, as a table in colour."""

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from ..metrics.arrays import Array, checked
from .style import new_figure, styled

__all__ = ["plot_information"]

_FULL = 0.5  # nats at which the colours end at the least: 50 degrees between two directions


@styled
def plot_information(information: Shaped[Array, "latent latent"]) -> Figure:
    """Draw the mutual information of pairs of latents, in order of what they explain.

    Args:
        information: What `mutual_information` returned, in nats.

    Raises:
        DataError: A number is not finite.
    """
    matrix = checked(information, "information", ("latent", "latent"))
    figure = new_figure(3.9, 3.2)
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=max(_FULL, float(matrix.max())))
    ticks = np.unique(np.linspace(0, len(matrix) - 1, min(8, len(matrix))).round().astype(int))
    axes.set_xticks(ticks, [str(k + 1) for k in ticks])
    axes.set_yticks(ticks, [str(k + 1) for k in ticks])
    axes.set(xlabel="latent", ylabel="latent")
    bar = figure.colorbar(image)
    bar.set_label("mutual information (nats)")
    figure.suptitle("Do latents move the data at right angles? (0: yes)")
    return figure

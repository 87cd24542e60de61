"""Which latents of two runs are the same, as a table in colour."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..metrics.cores import Agreement
from .style import new_figure, styled

__all__ = ["plot_agreement"]


@styled
def plot_agreement(agreement: Agreement) -> Figure:
    """Draw the absolute correlation of all latents of two runs; boxes show the match.

    Args:
        agreement: What `core_agreement` returned.
    """
    matrix = agreement.correlation_matrix
    size = 1.6 + 0.34 * len(matrix)
    figure = new_figure(size + 0.8, size)
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=1)
    for row, column in enumerate(agreement.match):
        corner = (float(column) - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(corner, 1, 1, fill=False, edgecolor="#E69F00", linewidth=2, clip_on=False)
        )
    names = [str(k + 1) for k in range(len(matrix))]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="latent of the second run", ylabel="latent of the first run")
    figure.colorbar(image, aspect=15).set_label("absolute correlation")
    figure.suptitle(
        f"Matched {agreement.matched:.2f}, sub-space {agreement.subspace:.2f}", fontsize=9
    )
    return figure

"""Which field goes with which factor: their correlations as a table in colour."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...zoo.errors import DataError
from ..metrics.matching import Matching
from .style import new_figure, styled

__all__ = ["plot_correlation"]

_LETTERS_ACROSS = 9  # of a column's name


@styled
def plot_correlation(
    matching: Matching,
    *,
    factors: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
) -> Figure:
    """Draw the correlation of every factor with every field; boxes show the match.

    Args:
        matching: What `match_fields` returned.
        factors: Names of the factors; numbered when None.
        fields: Names of the fields; numbered when None.

    Raises:
        DataError: There are too many or too few names.
    """
    matrix = matching.correlation_matrix
    rows = [f"factor {i}" for i in range(matrix.shape[0])] if factors is None else list(factors)
    columns = [f"field {i}" for i in range(matrix.shape[1])] if fields is None else list(fields)
    if (len(rows), len(columns)) != matrix.shape:
        raise DataError(
            f"Found {len(rows)} names of factors and {len(columns)} of fields for "
            f"{matrix.shape[0]} factors and {matrix.shape[1]} fields. Give one name for each."
        )
    figure = new_figure(2.4 + 0.62 * len(columns), 1.5 + 0.5 * len(rows))
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for row, column in ((r, c) for r in range(len(rows)) for c in range(len(columns))):
        value = matrix[row, column]
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{value:z.2f}", ha="center", va="center", color=colour)
    for row, column in enumerate(matching.field_of_factor):
        if column >= 0:
            corner = (float(column) - 0.5, row - 0.5)
            axes.add_patch(
                Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2, clip_on=False)
            )
    long = max(map(len, columns)) > _LETTERS_ACROSS
    slanted: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), columns, **(slanted if long else {}))
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ticks=(-1, 0, 1), aspect=12)
    bar.set_label("correlation")
    bar.outline.set_visible(False)
    figure.suptitle("Correlation of true with inferred speeds (boxes: matched)")
    return figure

"""How probable it is that each block is in a picture."""

from collections.abc import Sequence

from jaxtyping import Shaped
from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.arrays import Array, checked
from .style import COLOURS, TRUTH, checked_sequences, new_figure, styled

__all__ = ["plot_presence"]


@styled
def plot_presence(
    probability: Shaped[Array, "..."],
    *,
    true_count: Shaped[Array, "..."] | None = None,
    sequences: Sequence[int] = (0, 1, 2, 3, 4, 5),
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw bars of a probability of each block, for a few data and on average.

    Args:
        probability: Of each datum and block, (datum, block), such as the mean of draws of a site
            that is 0 or 1 for each block.
        true_count: How many objects each datum truly has, (datum,).
        sequences: Which data.
        names: Names of the blocks; numbered when None.

    Raises:
        ConfigError: A datum does not exist.
        DataError: Shapes do not fit, or a number is no probability.
    """
    values = checked(probability, "probability", ("datum", "block"))
    count, blocks = values.shape
    names = [str(k) for k in range(blocks)] if names is None else list(names)
    if values.min() < 0 or values.max() > 1 or len(names) != blocks:
        raise DataError(
            f"Found numbers from {values.min():.3g} to {values.max():.3g} and {len(names)} names "
            f"of {blocks} blocks; expected probabilities, and a name for each block."
        )
    truth = None if true_count is None else checked(true_count, "true_count", ("datum",))
    if truth is not None and len(truth) != count:
        raise DataError(f"Found {len(truth)} true counts of {count} data. Give one for each.")
    shown = checked_sequences(sequences, count)
    figure = new_figure(1.0 + 1.15 * (len(shown) + 1), 2.1)
    grid = figure.subplots(1, len(shown) + 1, sharey=True)
    panels = [(f"datum {k}", values[k], COLOURS[0]) for k in shown]
    panels.append((f"mean of {count}", values.mean(0), COLOURS[4]))
    for index, (axes, (title, bars, colour)) in enumerate(zip(grid, panels, strict=True)):
        axes.bar(range(blocks), bars, color=colour, width=0.7)
        axes.set_xticks(range(blocks), names)
        axes.set_title(title)
        expected = f"{bars.sum():.1f} expected"
        if truth is not None:
            true = truth[shown[index]] if index < len(shown) else truth.mean()
            expected += f"\n{true:g} true" if index < len(shown) else f"\n{true:.1f} true"
        axes.set_xlabel(f"block\n{expected}")
        axes.axhline(0.5, color=TRUTH, linewidth=0.5, linestyle=(0, (4, 3)))
    grid[0].set(ylim=(0, 1), ylabel="probability")
    figure.suptitle("Which blocks are in a picture")
    return figure

"""Which codes tell which factors, as a table in grey."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ...zoo.errors import DataError
from ..metrics.importances import Importances
from .style import new_figure, styled

__all__ = ["plot_importance"]


@styled
def plot_importance(found: Importances, *, factors: Sequence[str] | None = None) -> Figure:
    """Draw how much each code matters for telling each factor.

    Args:
        found: What `dci` returned.
        factors: Names of the factors; numbered when None.

    Raises:
        DataError: There are too many or too few names.
    """
    codes, count = found.importance.shape
    names = [str(k) for k in range(count)] if factors is None else list(factors)
    if len(names) != count:
        raise DataError(f"Found {len(names)} names for {count} factors. Give one for each.")
    figure = new_figure(1.9 + 0.34 * codes, 1.5 + 0.34 * count)
    axes = figure.subplots()
    image = axes.imshow(found.importance.T, cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(codes), [str(k) for k in range(codes)])
    axes.set_yticks(range(count), names)
    axes.set(xlabel="code", ylabel="factor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ticks=(0, 1), aspect=12, shrink=0.8)
    bar.set_label("importance")
    bar.outline.set_visible(False)
    axes.set_title(
        f"Disentanglement {found.disentanglement:.2f}, completeness {found.completeness:.2f}",
        fontsize=8,
    )
    return figure

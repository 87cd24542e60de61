"""How much tasks use each feature, over the course of training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...zoo.errors import DataError
from .style import COLOURS, TRUTH, label_ends, new_figure, styled
from .training import history_columns

__all__ = ["USE", "plot_use"]

_HEIGHT = 2.8
USE, _SKILL = "use of ", "skill"  # how names of columns begin
_LEAST = 0.01  # of all use, that a feature in use has


@styled
def plot_use(
    history: Mapping[str, Sequence[float]] | Sequence[Mapping[str, float]],
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw the use of each feature over training steps, and how well labels are told meanwhile.

    Features that are out of use in the end are grey and have no name.

    Args:
        history: That of a run whose guide is `watched` for these: columns by name, or rows of such
            columns: `step`, `use of ...` and, if it is known, `skill ...`.
        names: Of the features, in the order of their columns; None: as the columns say.

    Raises:
        DataError: There is no row or no use, columns differ in length, or names are too few or
            many.
    """
    columns = history_columns(history)
    steps = columns["step"]
    uses = {name.removeprefix(USE): v for name, v in columns.items() if name.startswith(USE)}
    names = list(uses if names is None else names)
    if not uses or len(names) != len(uses):
        raise DataError(
            f"Found {len(uses)} columns that begin with {USE!r}, and {len(names)} names; expected "
            "one or more, and as many names. Train with a guide that watches use and held-out data."
        )
    skills = [values for name, values in columns.items() if name.startswith(_SKILL)]
    figure = new_figure(5.6, _HEIGHT + (1.3 if skills else 0.0))
    ratios = [_HEIGHT - 0.6, 1.0][: 1 + bool(skills)]
    grid = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    last = steps[-1] if steps[-1] > steps[0] else steps[0] + 1
    named: list[Line2D] = []
    for name, values in zip(names, uses.values(), strict=True):
        known = values[np.isfinite(values)]
        used = bool(known.size) and known[-1] > _LEAST
        colour = COLOURS[len(named) % len(COLOURS)] if used else "#BBBBBB"
        style = ("-", "--", ":")[len(named) // len(COLOURS) % 3] if used else "-"
        (line,) = grid[0].plot(steps, values, color=colour, linestyle=style, label=name)
        line.set_zorder(2 if used else 1)
        named += [line] * bool(used)
    grid[0].set(xlim=(steps[0], last), ylabel="share of weights")
    grid[0].set_ylim(0, 1.08 * float(np.nanmax([*uses.values()])) or 1.0)
    label_ends(grid[0], named, ratios[0] - 0.3)
    if skills:
        grid[1].plot(steps, skills[0], color=TRUTH)
        grid[1].set(ylabel="explained", ylim=(min(0.0, float(np.nanmin(skills[0]))), 1))
        grid[1].set_title("Share of unseen labels' variance that heads explain", loc="left")
    grid[-1].set_xlabel("training step")
    figure.suptitle(f"Use of features by tasks: {len(named)} of {len(uses)} in the end")
    return figure

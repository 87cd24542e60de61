"""A progress bar that shows the ELBO and its terms while training runs."""

from types import TracebackType
from typing import Self

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """A context manager around training; does nothing unless enabled.

    Args:
        total: Number of steps.
        enabled: Whether to draw the bar.
    """

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._bar, self._task = None, None
        if enabled:
            from rich import progress

            self._bar = progress.Progress(
                progress.TextColumn("training"),
                progress.BarColumn(bar_width=20),
                progress.MofNCompleteColumn(),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[terms]}"),
            )
            self._task = self._bar.add_task("training", total=total, terms="")

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int, terms: dict[str, float]) -> None:
        """Move the bar on and show the terms."""
        if self._bar is not None and self._task is not None:
            shown = "  ".join(f"{name} {value:.1f}" for name, value in terms.items())
            self._bar.update(self._task, advance=steps, terms=shown)

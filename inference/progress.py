"""Progress bars: training and the terms of the ELBO, draws that are made, stages of a check."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

__all__ = ["TrainingProgress", "announce", "drawing_progress", "stage_progress"]


class TrainingProgress:
    """A context manager around training; does nothing unless enabled.

    One line shows how far training is and how many data it takes in a second, the next the terms.

    Args:
        total: Number of steps.
        starts: How many candidates take the first of them.
        enabled: Whether to draw the bar.
    """

    def __init__(self, total: int, *, starts: int = 1, enabled: bool) -> None:
        self._live = None
        if enabled:
            from rich import progress
            from rich.console import Group
            from rich.live import Live
            from rich.text import Text

            self._bar = progress.Progress(
                progress.TextColumn("training" if starts == 1 else f"training, {starts} starts"),
                progress.BarColumn(bar_width=30),
                progress.MofNCompleteColumn(),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[rate]:,.0f} samples/s"),
            )
            self._task = self._bar.add_task("training", total=total, rate=0.0)
            self._terms = Text(style="dim")
            self._live = Live(Group(self._bar, self._terms), refresh_per_second=4)

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            if not self._live.console.is_terminal:
                self._live.console.line()

    def show(self, step: int, rate: float, terms: Mapping[str, float]) -> None:
        """Move the bar to a step, and show the data trained on per second and the terms."""
        if self._live is not None:
            self._bar.update(self._task, completed=step, rate=rate)
            self._terms.plain = "  ".join(f"{name} {value:.1f}" for name, value in terms.items())


def announce(alarms: Sequence[str], *, enabled: bool) -> None:
    """Print what is wrong with what was trained."""
    if enabled and alarms:
        from rich.console import Console
        from rich.markup import escape

        console = Console(highlight=False)
        for alarm in alarms:
            console.print(f"[bold]Alarm:[/bold] {escape(alarm)}")


@contextlib.contextmanager
def drawing_progress(total: int, *, enabled: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on the terminal while draws are made, and nothing of it afterwards.

    Args:
        total: Number of draws of all data.
        enabled: Whether to draw the bar; where there is no terminal it is never drawn.

    Yields:
        What is to be called with the number of draws that have been made since.
    """
    from rich import progress
    from rich.console import Console

    console = Console()
    with progress.Progress(
        progress.TextColumn("drawing"),
        progress.BarColumn(bar_width=30),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (enabled and console.is_terminal),
    ) as bar:
        task = bar.add_task("drawing", total=total)
        yield lambda done: bar.advance(task, done)


@contextlib.contextmanager
def stage_progress(stages: int, *, enabled: bool) -> Iterator[Callable[[str], None]]:
    """Show on the terminal which of some stages goes on, and nothing of it afterwards.

    Args:
        stages: How many there are at most.
        enabled: Whether to draw the bar; where there is no terminal it is never drawn.

    Yields:
        What is to be called with the name of each stage, when it begins.
    """
    from rich import progress
    from rich.console import Console

    console = Console()
    with progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=30),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (enabled and console.is_terminal),
    ) as bar:
        task = bar.add_task("", total=stages, completed=-1)

        def begin(stage: str) -> None:
            bar.update(task, description=stage, advance=1)

        yield begin

"""Progress bars on a terminal, and single lines in a file or a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from equipoise.studies import Event

_SILENCE = 300.0
"""Seconds without a line after which one reports progress, where there are no bars."""


class RunBars:
    """A bar for all runs together, one for each run that is going on, and lines above them.

    If the console is no terminal, only lines are printed.

    Args:
        console: The console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._total: TaskID | None = None
        self._runs: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._progress.task_ids:
            self._progress.remove_task(bar)
        self._progress.stop()

    def show_total(self, description: str, completed: float, total: float | None, left: str = "") -> None:
        """Move the bar of all runs together; it appears with the first call."""
        if self._total is None:
            self._progress.start()
            self._total = self._progress.add_task(description, total=total, left=left)
        self._progress.update(self._total, description=description, completed=completed, left=left)

    def show_run(self, event: Event, remark: str = "") -> None:
        """Move the bar of a run, or remove it when the run has ended.

        Args:
            event: What happened to the run.
            remark: Appended to the line that reports progress where there are no bars.
        """
        key, name, status = event.run.key, event.run.name, event.status
        if status is not None:
            if key not in self._runs:
                self._runs[key] = self._progress.add_task(name, total=None, left="")
            self._progress.update(
                self._runs[key],
                completed=status.done,
                total=status.total or None,
                description=f"  {name}: {status.doing}",
            )
            if not self._console.is_terminal and time.monotonic() - self._last_line > _SILENCE:
                self.print_line(f"{name}: {status.doing}{remark}")
        if event.ended and key in self._runs:
            self._progress.remove_task(self._runs.pop(key))

    def print_line(self, line: str, style: str = "") -> None:
        """Print a line above the bars."""
        self._last_line = time.monotonic()
        self._console.print(Text(line, style), soft_wrap=True)


@contextmanager
def progress_bar(console: Console, description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, or one line if the console is no terminal.

    Args:
        console: The console to print to.
        description: Stands before the bar.

    Yields:
        A function of the number done and of the total. The bar appears with the first call, so not if there is nothing
        to do.
    """
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars: list[TaskID] = []

        def show(done: int, total: int) -> None:
            if not bars:
                bars.append(progress.add_task(description, total=total))
                if not console.is_terminal:
                    console.print(f"{description} ...", markup=False, highlight=False, soft_wrap=True)
            progress.update(bars[0], completed=done, total=total)

        yield show

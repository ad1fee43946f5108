"""What is said of runs that go on: bars on a terminal, single lines in a file or a pipe."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from equipoise.studies import Event

_SILENCE = 300.0
"""Seconds after which a line says that something is still going on, where there are no bars."""


class Bars:
    """A bar for the whole, one for every run that goes on, and lines above them.

    Where the console is no terminal there are lines alone.

    Args:
        console: Where to.
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
        self._whole: TaskID | None = None
        self._runs: dict[str, TaskID] = {}
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._progress.task_ids:
            self._progress.remove_task(bar)
        self._progress.stop()

    def whole(self, description: str, completed: float, total: float | None, left: str = "") -> None:
        """Move the bar of the whole; it appears with the first call."""
        if self._whole is None:
            self._progress.start()
            self._whole = self._progress.add_task(description, total=total, left=left)
        self._progress.update(self._whole, description=description, completed=completed, left=left)

    def show(self, event: Event, outlook: str = "") -> None:
        """Move the bar of a run, or take it away when the run has ended.

        Args:
            event: What happened to it.
            outlook: What is said besides where there are no bars and nothing has been said for long.
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
            if not self._console.is_terminal and time.monotonic() - self._spoke > _SILENCE:
                self.say(f"{name}: {status.doing}{outlook}")
        if event.ended and key in self._runs:
            self._progress.remove_task(self._runs.pop(key))

    def say(self, line: str, style: str = "") -> None:
        """Print a line above the bars."""
        self._spoke = time.monotonic()
        self._console.print(Text(line, style), soft_wrap=True)

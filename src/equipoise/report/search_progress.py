"""What people see while weights are searched for."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from equipoise.report.progress import SILENCE, duration
from equipoise.studies import Event
from equipoise.studies.search import Budget, Outcome, SearchRecord


class SearchProgress:
    """A bar for the whole search, one for every running trial, and a line for every ended one.

    Where the console is no terminal there are lines alone, also when nothing has been said for long.

    Args:
        console: Where to.
        expected: How many trials there will be, if that can be told.
        budget: What they may cost.
        jobs: How many are made at a time.
    """

    def __init__(self, console: Console, expected: int | None, budget: Budget, jobs: int) -> None:
        self._console, self._budget, self._jobs = console, budget, jobs
        bounds = [bound for bound in (expected, budget.runs) if bound is not None]
        self._expected = min(bounds, default=None)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}
        self._shown: set[str] = set()
        self._spoke = time.monotonic()

    def __enter__(self) -> "SearchProgress":
        self._progress.start()
        self._whole = self._progress.add_task("Searching", total=self._expected, left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._progress.task_ids:
            self._progress.remove_task(bar)
        self._progress.stop()

    def watch(self, event: Event) -> None:
        """Show an event of a run."""
        key, name = event.run.key, event.run.name
        if event.status is not None:
            if key not in self._bars:
                self._bars[key] = self._progress.add_task(name, total=None, left="")
            self._progress.update(
                self._bars[key],
                completed=event.status.done,
                total=event.status.total or None,
                description=f"  {name}: {event.status.doing}",
            )
            if not self._console.is_terminal and time.monotonic() - self._spoke > SILENCE:
                self._say(f"{name}: {event.status.doing}")
        if event.ended and key in self._bars:
            self._progress.remove_task(self._bars.pop(key))

    def noted(self, record: SearchRecord) -> None:
        """Show what has been found."""
        best = "" if record.best is None else f", best {record.best.value:.2f} %"
        left = self.left(record)
        outlook = "" if left is None else f", about {duration(left)} left"
        for number, trial in enumerate(record.trials, 1):
            if trial.run not in self._shown:
                self._shown.add(trial.run)
                of = "" if self._expected is None else f" of {self._expected}"
                self._say(f"Trial {number}{of}: {_described(trial)}{best}{outlook}")
        description = f"{len(record.trials)} trials{best}"
        self._progress.update(
            self._whole, completed=len(record.trials), description=description, left=outlook.lstrip(", ")
        )

    def left(self, record: SearchRecord) -> float | None:
        """Seconds to go, or none while there is nothing to judge by."""
        spent = sum(trial.seconds for trial in record.trials)
        bounds = []
        if self._expected is not None and record.trials:
            bounds.append(max(0, self._expected - len(record.trials)) * spent / len(record.trials))
        if self._budget.hours is not None:
            bounds.append(max(0.0, 3600 * self._budget.hours - spent))
        return min(bounds) / self._jobs if bounds else None

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(Text(line), soft_wrap=True)


def _described(trial: Outcome) -> str:
    weights = ", ".join(f"{task} {weight:.4g}" for task, weight in trial.weights.items()) or trial.balancer
    cached = " (cached)" if trial.cached else ""
    if trial.status == "finished":
        return f"{weights}: delta_m {trial.value:.2f} %{cached} in {duration(trial.seconds)}"
    return f"{weights}: {trial.status} after {trial.epochs} epochs" + (f": {trial.error}" if trial.error else "")

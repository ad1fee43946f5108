"""What people see while something long goes on: bars on a terminal, single lines in a file or a pipe."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from equipoise._core.text import duration
from equipoise.studies import Event, PlannedRun, unfinished_runs
from equipoise.studies.search import Budget, SearchResult, Trial
from equipoise.training import Status

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


@contextmanager
def counting(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much of something is done; the bar appears with the first call, so not when there is nothing to do."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars: list[TaskID] = []

        def show(done: int, total: int) -> None:
            if not bars:
                bars.append(progress.add_task(what, total=total))
                if not console.is_terminal:
                    console.print(f"{what} ...", markup=False, highlight=False, soft_wrap=True)
            progress.update(bars[0], completed=done, total=total)

        yield show


class Estimate:
    """How long the runs of a study will take still.

    A batch of several tasks takes longer than one of a single task, so the pace of a run that has not begun is that of
    the runs with as many tasks. As long as there are none, half a single-task network's time is added for every further
    task: a task adds a decoder, while the trunk, the larger part, is shared.

    Args:
        runs: The runs that are not finished yet.
        jobs: How many are made at a time.
        clock: Tells the time in seconds.
    """

    def __init__(self, runs: Sequence[PlannedRun], jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = {run.key: len(run.config.tasks) for run in runs}
        self._jobs = jobs
        self._clock = clock
        self._left = dict.fromkeys(self._tasks, 1.0)
        self._begun: dict[str, tuple[float, float]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, run: PlannedRun) -> None:
        """Count in a run that was not known at the start."""
        self._tasks[run.key] = len(run.config.tasks)
        self._left.setdefault(run.key, 1.0)

    def knows(self, run: PlannedRun) -> bool:
        """Whether a run is counted in."""
        return run.key in self._tasks

    def update(self, key: str, status: Status) -> None:
        """Take note of how far a run is."""
        if status.total:
            done, now = status.done / status.total, self._clock()
            begun, begun_at = self._begun.setdefault(key, (done, now))
            self._left[key] = 1 - done
            # The first batches of a run say little: files are read and memory is laid out.
            if done - begun > 0.02:
                self._seconds[key] = (now - begun_at) / (done - begun)

    def end(self, key: str) -> None:
        """Take note that a run has ended, well or not."""
        self._left[key] = 0.0

    def left(self) -> float | None:
        """Seconds to go, or none while there is nothing to judge by."""
        if not self._seconds:
            return None
        longest = max(left * self._whole(key) for key, left in self._left.items())
        return max(longest, sum(left * self._whole(key) for key, left in self._left.items()) / self._jobs)

    def done(self) -> float:
        """The share of all work that is done."""
        if not self._seconds:
            return 0.0
        whole = {key: self._whole(key) for key in self._left}
        return 1 - sum(left * whole[key] for key, left in self._left.items()) / max(sum(whole.values()), 1e-9)

    def _whole(self, key: str) -> float:
        if key in self._seconds:
            return self._seconds[key]
        tasks = self._tasks[key]
        like = [seconds for other, seconds in self._seconds.items() if self._tasks[other] == tasks]
        if like:
            return fmean(like)
        return fmean(seconds * (1 + tasks) / (1 + self._tasks[other]) for other, seconds in self._seconds.items())


class StudyProgress(Bars):
    """A bar for the whole study with the time that is left, one for every running run, and a line for every ended one.

    Where the console is no terminal there are lines alone: one for every ended run, and one when nothing has been said
    for long.

    Args:
        console: Where to.
        planned: The runs.
        root: Where runs are kept, to tell which are finished already.
        jobs: How many are made at a time.
    """

    def __init__(self, console: Console, planned: Sequence[PlannedRun], root: Path, jobs: int = 1) -> None:
        super().__init__(console)
        self._lines_alone = not console.is_terminal
        waiting = unfinished_runs(planned, root)
        self._runs_to_make, self._ended = len(waiting), 0
        self._finished_before = len({run.key for run in planned}) - len(waiting)
        self._estimate = Estimate(waiting, jobs)
        self._begun: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._finished_before:
            all_runs = self._finished_before + self._runs_to_make
            self.say(f"{self._finished_before} of {all_runs} runs are finished already.")
        if self._runs_to_make:
            self.whole(self._title(), 0, 1)
        return self

    def __call__(self, event: Event) -> None:
        """Show an event of `equipoise.studies.execute`."""
        key = event.run.key
        if not self._estimate.knows(event.run):
            self._estimate.add(event.run)
            self._runs_to_make += 1
        if event.status is not None:
            if event.status.total:
                # What a run waits for before it begins does not count.
                self._begun.setdefault(key, time.monotonic())
            self._estimate.update(key, event.status)
        if event.ended:
            self._ended += 1
            self._estimate.end(key)
        self.show(event, self._outlook())
        if event.ended:
            outcome = f"failed: {event.error}" if event.error else f"finished in {duration(self._took(key))}"
            self.say(f"{event.run.name}: {outcome}{self._outlook()}", "red" if event.error else "")
        left = self._estimate.left()
        done, time_left = self._estimate.done(), "" if left is None else f", about {duration(left)} left"
        self.whole(self._title(), done, 1, f"{done:>4.0%}{time_left}")

    def _title(self) -> str:
        return f"All {self._runs_to_make} runs"

    def _took(self, key: str) -> float:
        now = time.monotonic()
        return now - self._begun.get(key, now)

    def _outlook(self) -> str:
        left = self._estimate.left()
        if not self._lines_alone or left is None or self._ended == self._runs_to_make:
            return ""
        return f" ({self._ended} of {self._runs_to_make} runs ended, about {duration(left)} left)"


class SearchProgress(Bars):
    """A bar for the whole search, one for every running trial, and a line for every ended one.

    Where the console is no terminal there are lines alone, also when nothing has been said for long.

    Args:
        console: Where to.
        expected: How many trials there will be, if that can be told.
        budget: What they may cost.
        jobs: How many are made at a time.
    """

    def __init__(self, console: Console, expected: int | None, budget: Budget, jobs: int) -> None:
        super().__init__(console)
        self._budget, self._jobs = budget, jobs
        bounds = [bound for bound in (expected, budget.runs) if bound is not None]
        self._expected = min(bounds, default=None)
        self._shown: set[str] = set()

    def __enter__(self) -> Self:
        self.whole("Searching", 0, self._expected)
        return self

    def watch(self, event: Event) -> None:
        """Show an event of a run."""
        self.show(event)

    def on_change(self, record: SearchResult) -> None:
        """Show what has been found."""
        best = "" if record.best is None else f", best {record.best.value:.2f} %"
        left = self.left(record)
        outlook = "" if left is None else f", about {duration(left)} left"
        for number, trial in enumerate(record.trials, 1):
            if trial.run not in self._shown:
                self._shown.add(trial.run)
                of = "" if self._expected is None else f" of {self._expected}"
                self.say(f"Trial {number}{of}: {_described(trial)}{best}{outlook}")
        done = len(record.trials)
        self.whole(f"{done} trials{best}", done, self._expected, outlook.lstrip(", "))

    def left(self, record: SearchResult) -> float | None:
        """Seconds to go, or none while there is nothing to judge by."""
        spent = sum(trial.seconds for trial in record.trials)
        bounds = []
        if self._expected is not None and record.trials:
            bounds.append(max(0, self._expected - len(record.trials)) * spent / len(record.trials))
        if self._budget.hours is not None:
            bounds.append(max(0.0, 3600 * self._budget.hours - spent))
        return min(bounds) / self._jobs if bounds else None


def _described(trial: Trial) -> str:
    weights = ", ".join(f"{task} {weight:.4g}" for task, weight in trial.weights.items()) or trial.balancer
    cached = " (cached)" if trial.cached else ""
    if trial.status == "finished":
        return f"{weights}: delta_m {trial.value:.2f} %{cached} in {duration(trial.seconds)}"
    return f"{weights}: {trial.status} after {trial.epochs} epochs" + (f": {trial.error}" if trial.error else "")

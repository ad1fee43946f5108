"""Progress on a terminal: bars of a study or a search, with an estimate of the time that is left."""

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


class TimeEstimate:
    """An estimate of how much longer the runs of a study take.

    A batch takes longer with several tasks than with one, so that a run that has not begun is taken to need the mean
    time of the runs with as many tasks. As long as there are none, half a single-task network's time is added for every
    further task: a task adds a decoder, but shares the trunk, which is the larger part.

    Args:
        runs: The runs that are not finished yet.
        jobs: Number of runs at a time.
        clock: Returns the time in seconds.
    """

    def __init__(self, runs: Sequence[PlannedRun], jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = {run.key: len(run.config.tasks) for run in runs}
        self._jobs = jobs
        self._clock = clock
        self._left = dict.fromkeys(self._tasks, 1.0)
        self._begun: dict[str, tuple[float, float]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, run: PlannedRun) -> None:
        """Include a run that was not known at the start."""
        self._tasks[run.key] = len(run.config.tasks)
        self._left.setdefault(run.key, 1.0)

    def __contains__(self, run: PlannedRun) -> bool:
        return run.key in self._tasks

    def update(self, key: str, status: Status) -> None:
        """Register the progress of a run."""
        if status.total:
            done, now = status.done / status.total, self._clock()
            begun, begun_at = self._begun.setdefault(key, (done, now))
            self._left[key] = 1 - done
            # The first batches say little: files are read and memory is allocated.
            if done - begun > 0.02:
                self._seconds[key] = (now - begun_at) / (done - begun)

    def end(self, key: str) -> None:
        """Register that a run has ended, successfully or not."""
        self._left[key] = 0.0

    def left(self) -> float | None:
        """Return the seconds that are left; `None` as long as no run has shown its pace."""
        if not self._seconds:
            return None
        seconds = [left * self._total(key) for key, left in self._left.items()]
        return max(*seconds, 0.0, sum(seconds) / self._jobs)

    def done(self) -> float:
        """Return the share of all work that is done."""
        if not self._seconds:
            return 0.0
        total = {key: self._total(key) for key in self._left}
        return 1 - sum(left * total[key] for key, left in self._left.items()) / max(sum(total.values()), 1e-9)

    def _total(self, key: str) -> float:
        """Return the seconds that a whole run takes."""
        if key in self._seconds:
            return self._seconds[key]
        tasks = self._tasks[key]
        like = [seconds for other, seconds in self._seconds.items() if self._tasks[other] == tasks]
        if like:
            return fmean(like)
        return fmean(seconds * (1 + tasks) / (1 + self._tasks[other]) for other, seconds in self._seconds.items())


class StudyProgress(RunBars):
    """A bar for the study with the time that is left, one for each run that is going on, and a line for each ended run.

    If the console is no terminal, only lines are printed: one for each ended run, and one after a long silence.

    Args:
        console: The console to print to.
        planned: The runs.
        root: The directory of all studies, to find which runs are finished already.
        jobs: Number of runs at a time.
    """

    def __init__(self, console: Console, planned: Sequence[PlannedRun], root: Path, jobs: int = 1) -> None:
        super().__init__(console)
        waiting = unfinished_runs(planned, root)
        self._to_make, self._ended = len(waiting), 0
        self._finished_before = len({run.key for run in planned}) - len(waiting)
        self._estimate = TimeEstimate(waiting, jobs)
        self._begun: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._finished_before:
            total = self._finished_before + self._to_make
            self.print_line(f"{self._finished_before} of {total} runs are finished already.")
        if self._to_make:
            self.show_total(self._title(), 0, 1)
        return self

    def __call__(self, event: Event) -> None:
        """Show an event of `equipoise.studies.execute`."""
        key = event.run.key
        if event.run not in self._estimate:
            self._estimate.add(event.run)
            self._to_make += 1
        if event.status is not None:
            if event.status.total:
                # The time that a run waits before it begins does not count.
                self._begun.setdefault(key, time.monotonic())
            self._estimate.update(key, event.status)
        if event.ended:
            self._ended += 1
            self._estimate.end(key)
        self.show_run(event, self._remark())
        if event.ended:
            outcome = f"failed: {event.error}" if event.error else f"finished in {duration(self._seconds(key))}"
            self.print_line(f"{event.run.name}: {outcome}{self._remark()}", "red" if event.error else "")
        left = self._estimate.left()
        done, time_left = self._estimate.done(), "" if left is None else f", about {duration(left)} left"
        self.show_total(self._title(), done, 1, f"{done:>4.0%}{time_left}")

    def _title(self) -> str:
        return f"All {self._to_make} runs"

    def _seconds(self, key: str) -> float:
        now = time.monotonic()
        return now - self._begun.get(key, now)

    def _remark(self) -> str:
        left = self._estimate.left()
        if self._console.is_terminal or left is None or self._ended == self._to_make:
            return ""
        return f" ({self._ended} of {self._to_make} runs ended, about {duration(left)} left)"


class SearchProgress(RunBars):
    """A bar for the search, one for each trial that is going on, and a line for each ended trial.

    If the console is no terminal, only lines are printed.

    Args:
        console: The console to print to.
        expected: Number of trials; `None` if it is not known.
        budget: What the trials may cost.
        jobs: Number of trials at a time.
    """

    def __init__(self, console: Console, expected: int | None, budget: Budget, jobs: int) -> None:
        super().__init__(console)
        self._budget, self._jobs = budget, jobs
        bounds = [bound for bound in (expected, budget.runs) if bound is not None]
        self._expected = min(bounds, default=None)
        self._shown: set[str] = set()

    def __enter__(self) -> Self:
        self.show_total("Searching", 0, self._expected)
        return self

    def __call__(self, event: Event) -> None:
        """Show an event of a run."""
        self.show_run(event)

    def show_record(self, record: SearchResult) -> None:
        """Show the trials that have ended, and the best weights so far."""
        best = "" if record.best is None else f", best {record.best.value:.2f} %"
        left = self._left(record)
        time_left = "" if left is None else f", about {duration(left)} left"
        for number, trial in enumerate(record.trials, 1):
            if trial.run not in self._shown:
                self._shown.add(trial.run)
                of = "" if self._expected is None else f" of {self._expected}"
                self.print_line(f"Trial {number}{of}: {_described(trial)}{best}{time_left}")
        done = len(record.trials)
        self.show_total(f"{done} trials{best}", done, self._expected, time_left.lstrip(", "))

    def _left(self, record: SearchResult) -> float | None:
        """Return the seconds that are left; `None` as long as they are not known."""
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

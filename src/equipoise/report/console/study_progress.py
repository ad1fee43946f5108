"""The progress of a study on a terminal, with an estimate of the time that is left."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Self

from rich.console import Console

from equipoise._core.text import duration
from equipoise.report.console.bars import RunBars
from equipoise.studies import Event, PlannedRun, unfinished_runs
from equipoise.training import Status


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

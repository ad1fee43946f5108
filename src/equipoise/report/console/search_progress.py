"""The progress of a weight search on a terminal."""

from typing import Self

from rich.console import Console

from equipoise._core.text import duration
from equipoise.report.console.bars import RunBars
from equipoise.studies import Event
from equipoise.studies.search import Budget, SearchResult, Trial


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

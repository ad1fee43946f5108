"""What people see while weights are searched for."""

from typing import Self

from rich.console import Console

from equipoise.report.bars import Bars
from equipoise.report.progress import duration
from equipoise.studies import Event
from equipoise.studies.search import Budget, Outcome, SearchRecord


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

    def noted(self, record: SearchRecord) -> None:
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

    def left(self, record: SearchRecord) -> float | None:
        """Seconds to go, or none while there is nothing to judge by."""
        spent = sum(trial.seconds for trial in record.trials)
        bounds = []
        if self._expected is not None and record.trials:
            bounds.append(max(0, self._expected - len(record.trials)) * spent / len(record.trials))
        if self._budget.hours is not None:
            bounds.append(max(0.0, 3600 * self._budget.hours - spent))
        return min(bounds) / self._jobs if bounds else None


def _described(trial: Outcome) -> str:
    weights = ", ".join(f"{task} {weight:.4g}" for task, weight in trial.weights.items()) or trial.balancer
    cached = " (cached)" if trial.cached else ""
    if trial.status == "finished":
        return f"{weights}: delta_m {trial.value:.2f} %{cached} in {duration(trial.seconds)}"
    return f"{weights}: {trial.status} after {trial.epochs} epochs" + (f": {trial.error}" if trial.error else "")

"""Trials as runs of a study: weights in, delta_m on validation out."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from filelock import FileLock, Timeout

from equipoise.config import BalancerConfig, Recipe
from equipoise.studies.plan.matrix import PlannedRun, plan, run_directory
from equipoise.studies.plan.scoring import validation_score
from equipoise.studies.run.executors import Event, Watch
from equipoise.studies.run.runner import read_failure
from equipoise.studies.search.problem import Budget, BudgetSpent, Outcome, Problem, Report, Weights, keep
from equipoise.training import Abandoned, EpochEnd, read_result
from equipoise.training.logs import read_log

Make = Callable[[Sequence[PlannedRun], Watch], None]
"""Brings runs to their end, as `equipoise.studies.execute` does."""

Judge = Callable[[PlannedRun, EpochEnd], bool]
"""Whether to abandon a run, after an epoch."""


class Runs(Problem):
    """Makes trials with the balancer `fixed`, each with the first seed of the recipe.

    Args:
        recipe: Without variants and grid; its single-task networks are finished.
        root: The directory that all studies share.
        directory: Where strategies may keep files.
        make: Makes runs.
        jobs: How many runs `make` makes side by side.
        budget: What may be spent.
        earlier: Trials that the strategy has made in earlier calls.
        own: Keys of runs that it has begun in earlier calls.
        noted: Called when a trial has ended, and before runs begin, with this object.
        watch: Told what happens.
    """

    def __init__(
        self,
        recipe: Recipe,
        root: Path,
        directory: Path,
        make: Make,
        *,
        jobs: int = 1,
        budget: Budget | None = None,
        earlier: Sequence[Outcome] = (),
        own: Sequence[str] = (),
        noted: Callable[["Runs"], None] = lambda runs: None,
        watch: Watch = lambda event: None,
    ) -> None:
        self.tasks, self.directory, self.jobs = recipe.tasks, directory, jobs
        # The key of a run has a digest of all that can change its result.
        self.identity = planned_with(recipe, "uniform")[-1].key
        self._recipe, self._root, self._make, self._watch, self._noted = recipe, root, make, watch, noted
        self._budget = budget or Budget()
        self._earlier = {outcome.run: outcome for outcome in earlier}
        self._own = dict.fromkeys(own)
        self._outcomes: dict[str, Outcome] = {}

    def known(self) -> list[Outcome]:
        """Everything tried so far."""
        return list(self._outcomes.values())

    def own(self) -> list[str]:
        """The keys of the runs that the strategy has begun, which are no cached ones."""
        return list(self._own)

    def recall(self, outcomes: Sequence[Outcome]) -> None:
        """Count in trials of an earlier call or of another machine."""
        self._outcomes = {outcome.run: outcome for outcome in outcomes} | self._outcomes
        self._noted(self)

    def room(self) -> int:
        """The number of jobs, or what the budget leaves."""
        return self._budget.leaves(self.known(), self.jobs)

    def left_behind(self, weights: Weights, *, elsewhere: bool) -> bool:
        """Whether the directory of the run is there and not locked; or not there, where nobody else has it."""
        directory = self.run(weights).directory(self._root)
        if not directory.is_dir():
            return not elsewhere
        try:
            with FileLock(directory / ".lock", timeout=0):
                return True
        except Timeout:
            return False

    def run(self, weights: Weights) -> PlannedRun:
        """The run of weights."""
        return planned_with(self._recipe, "fixed", weights)[-1]

    def evaluate(self, candidates: Sequence[Weights], report: Report = keep) -> list[Outcome]:
        """Make the runs of weights, as many side by side as there are jobs."""
        runs = [self.run(weights) for weights in candidates]
        number = {run.key: place for place, run in enumerate(runs)}

        def hopeless(run: PlannedRun, reached: EpochEnd) -> bool:
            return reached.score is not None and report(number[run.key], reached.epoch, reached.score)

        left = [run for run in {run.key: run for run in runs}.values() if run.key not in self._outcomes]
        while left:
            room = self.room()
            if not room:
                raise BudgetSpent
            self._carry_out(left[:room], hopeless)
            left = left[room:]
        return [self._outcomes[run.key] for run in runs]

    def balance(self, balancer: str, fraction: float) -> Weights:
        """Make the run of a balancer, or its beginning, and average the weights that it has logged."""
        run = planned_with(self._recipe, balancer)[-1]
        wanted = max(1, round(fraction * run.config.training.epochs))
        before = self._earlier.get(run.key)
        if before is not None and before.status == "abandoned" and before.epochs >= wanted:
            self.recall([before])
        elif not self.room():
            raise BudgetSpent
        else:
            self._carry_out([run], lambda run, reached: reached.epoch >= wanted)
        if (failed := self._outcomes[run.key]).status == "failed":
            raise ValueError(f"the run with `{balancer}` failed, so that it has no weights: {failed.error}")
        weights = self._mean_weights(run, wanted)
        self._outcomes[run.key] = self._outcomes[run.key].model_copy(update={"weights": weights})
        self._noted(self)
        return weights

    def _mean_weights(self, run: PlannedRun, epochs: int) -> Weights:
        lines = [
            line["weight"]
            for line in read_log(run.directory(self._root))
            if line["split"] == "train" and line["epoch"] <= epochs and line.get("weight")
        ]
        values = {task: [line[task] for line in lines if line.get(task) is not None] for task in self.tasks}
        if missing := [task for task, found in values.items() if not found]:
            raise ValueError(f"the run in {run.directory(self._root)} has logged no weights of {', '.join(missing)}.")
        return {task: fmean(found) for task, found in values.items()}

    def _carry_out(self, runs: Sequence[PlannedRun], judge: Judge) -> None:
        """Bring runs to their end, at most as many as there are jobs."""
        cached = {
            run.key: run.key not in self._own and read_result(run.directory(self._root)) is not None for run in runs
        }
        self._own |= {key: None for key, was_there in cached.items() if not was_there}
        self._noted(self)
        seen: dict[str, EpochEnd] = {}
        best: dict[str, float] = {}
        abandoned: set[str] = set()

        def watch(event: Event) -> None:
            reached = event.status.reached if event.status is not None else None
            self._watch(event)
            if event.abandoned:
                abandoned.add(event.run.key)
            if reached is not None:
                key = event.run.key
                seen[key] = reached
                if reached.score is not None:
                    best[key] = max(reached.score, best.get(key, -math.inf))
                # After the last epoch there is nothing to be saved.
                if reached.epoch < event.run.config.training.epochs and judge(event.run, reached):
                    raise Abandoned

        self._make(runs, watch)
        for run in runs:
            reached = seen.get(run.key)
            outcome = self._finished(run) or Outcome(
                weights=dict(run.config.balancer.options.get("weights", {})),
                run=run.key,
                balancer=run.config.balancer.name,
                status="abandoned" if run.key in abandoned else "failed",
                score=best.get(run.key),
                epochs=reached.epoch if reached else 0,
                seconds=reached.seconds if reached else 0.0,
                error=None if run.key in abandoned else self._why(run),
            )
            self._outcomes[run.key] = outcome.model_copy(update={"cached": cached[run.key]})
        self._noted(self)

    def _finished(self, run: PlannedRun) -> Outcome | None:
        result = read_result(run.directory(self._root))
        if result is None:
            return None
        return Outcome(
            weights=dict(run.config.balancer.options.get("weights", {})) or result.weights,
            run=run.key,
            balancer=run.config.balancer.name,
            status="finished",
            score=validation_score(run.directory(self._root), [run_directory(self._root, key) for key in run.needs]),
            epochs=run.config.training.epochs,
            seconds=result.seconds,
        )

    def _why(self, run: PlannedRun) -> str:
        return read_failure(run.directory(self._root)) or "it has left no result"


def planned_with(recipe: Recipe, balancer: str, weights: Weights | None = None) -> list[PlannedRun]:
    """The single-task networks of a recipe's first seed, and after them the run of a balancer."""
    content = {"name": balancer} if weights is None else {"name": balancer, "weights": weights, "label": _name(weights)}
    chosen = BalancerConfig.model_validate(content)
    return plan(recipe.model_copy(update={"balancers": (chosen,), "seeds": recipe.seeds[:1]}))


def _name(weights: Weights) -> str:
    return ", ".join(f"{task} {weight:g}" for task, weight in weights.items())

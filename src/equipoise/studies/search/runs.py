"""Trials of a weight search as runs of a study: weights in, delta_m on validation out."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from equipoise.config import BalancerConfig, Recipe
from equipoise.studies.plan.matrix import plan
from equipoise.studies.plan.planned_run import PlannedRun, read_failure
from equipoise.studies.plan.scoring import validation_score
from equipoise.studies.run.executors import Event, Watch
from equipoise.studies.run.runner import is_locked
from equipoise.studies.search.problem import Budget, BudgetSpent, Problem, ShouldPrune, Trial, Weights, never_prune
from equipoise.training import Abandoned, EpochEnd
from equipoise.training.logs import read_log

MakeRuns = Callable[[Sequence[PlannedRun], Watch], None]
"""Brings runs to their end, as `equipoise.studies.execute` does."""

_ShouldStop = Callable[[PlannedRun, EpochEnd], bool]
"""Decides after an epoch whether to abandon a run."""


class TrialRuns(Problem):
    """Makes trials with the balancer `fixed`, each with the first seed of the recipe.

    Args:
        recipe: A recipe without variants and grid, whose single-task networks are finished.
        root: The directory that all studies share.
        directory: Directory in which strategies may keep files.
        make_runs: Makes runs.
        jobs: Number of runs that `make_runs` makes side by side.
        budget: The budget of all trials.
        earlier: Trials that the strategy has made in earlier calls.
        own: Keys of the runs that the strategy has begun in earlier calls.
        on_change: Called with this object when a trial has ended, and before runs begin.
        watch: Called with every event of the runs.
    """

    def __init__(
        self,
        recipe: Recipe,
        root: Path,
        directory: Path,
        make_runs: MakeRuns,
        *,
        jobs: int = 1,
        budget: Budget | None = None,
        earlier: Sequence[Trial] = (),
        own: Sequence[str] = (),
        on_change: Callable[["TrialRuns"], None] = lambda runs: None,
        watch: Watch = lambda event: None,
    ) -> None:
        self.tasks, self.directory, self.jobs = recipe.tasks, directory, jobs
        # The key of a run has a digest of everything that can change its result.
        self.identity = plan_with(recipe, "uniform")[-1].key
        self._recipe, self._root, self._make_runs = recipe, root, make_runs
        self._watch, self._on_change = watch, on_change
        self._budget = budget or Budget()
        self._earlier = {trial.run: trial for trial in earlier}
        self._own = dict.fromkeys(own)
        self._trials: dict[str, Trial] = {}

    def trials(self) -> list[Trial]:
        """Return all trials so far."""
        return list(self._trials.values())

    def own(self) -> list[str]:
        """Return the keys of the runs that the strategy has begun, which are not cached ones."""
        return list(self._own)

    def add(self, trials: Sequence[Trial]) -> None:
        """Add trials of an earlier call or of another machine."""
        self._trials = {trial.run: trial for trial in trials} | self._trials
        self._on_change(self)

    def free_slots(self) -> int:
        """Return the number of jobs, or less if the budget is short."""
        return self._budget.allows(self.trials(), self.jobs)

    def is_orphaned(self, weights: Weights, *, elsewhere: bool) -> bool:
        """Whether the run's directory is there and not locked; or not there, and no other machine makes runs."""
        directory = self.run(weights).directory(self._root)
        return not is_locked(directory) if directory.is_dir() else not elsewhere

    def run(self, weights: Weights) -> PlannedRun:
        """Return the run of weights."""
        return plan_with(self._recipe, "fixed", weights)[-1]

    def evaluate(self, candidates: Sequence[Weights], should_prune: ShouldPrune = never_prune) -> list[Trial]:
        """Make the runs of weights, as many side by side as there are jobs."""
        runs = [self.run(weights) for weights in candidates]
        position = {run.key: place for place, run in enumerate(runs)}

        def should_stop(run: PlannedRun, reached: EpochEnd) -> bool:
            return reached.score is not None and should_prune(position[run.key], reached.epoch, reached.score)

        left = [run for run in {run.key: run for run in runs}.values() if run.key not in self._trials]
        while left:
            slots = self.free_slots()
            if not slots:
                raise BudgetSpent
            self._make_trials(left[:slots], should_stop)
            left = left[slots:]
        return [self._trials[run.key] for run in runs]

    def mean_weights(self, balancer: str, fraction: float) -> Weights:
        """Make the run of a balancer, or its beginning, and average the weights that it has logged."""
        run = plan_with(self._recipe, balancer)[-1]
        wanted = max(1, round(fraction * run.config.training.epochs))
        before = self._earlier.get(run.key)
        if before is not None and before.status == "abandoned" and before.epochs >= wanted:
            self.add([before])
        elif not self.free_slots():
            raise BudgetSpent
        else:
            self._make_trials([run], lambda run, reached: reached.epoch >= wanted)
        if (failed := self._trials[run.key]).status == "failed":
            raise ValueError(f"the run with `{balancer}` failed, so that it has no weights: {failed.error}")
        weights = self._logged_weights(run, wanted)
        self._trials[run.key] = self._trials[run.key].model_copy(update={"weights": weights})
        self._on_change(self)
        return weights

    def _logged_weights(self, run: PlannedRun, epochs: int) -> Weights:
        lines = [
            line["weight"]
            for line in read_log(run.directory(self._root))
            if line["split"] == "train" and line["epoch"] <= epochs and line.get("weight")
        ]
        values = {task: [line[task] for line in lines if line.get(task) is not None] for task in self.tasks}
        if missing := [task for task, found in values.items() if not found]:
            raise ValueError(f"the run in {run.directory(self._root)} has logged no weights of {', '.join(missing)}.")
        return {task: fmean(found) for task, found in values.items()}

    def _make_trials(self, runs: Sequence[PlannedRun], should_stop: _ShouldStop) -> None:
        """Bring runs to their end, at most as many as there are jobs."""
        cached = {run.key: run.key not in self._own and run.result(self._root) is not None for run in runs}
        self._own |= {key: None for key, was_there in cached.items() if not was_there}
        self._on_change(self)
        latest: dict[str, EpochEnd] = {}
        best: dict[str, float] = {}
        abandoned: set[str] = set()

        def watch(event: Event) -> None:
            reached = event.status.reached if event.status is not None else None
            self._watch(event)
            if event.abandoned:
                abandoned.add(event.run.key)
            if reached is not None:
                key = event.run.key
                latest[key] = reached
                if reached.score is not None:
                    best[key] = max(reached.score, best.get(key, -math.inf))
                # Nothing is saved by abandoning a run after its last epoch.
                if reached.epoch < event.run.config.training.epochs and should_stop(event.run, reached):
                    raise Abandoned

        self._make_runs(runs, watch)
        for run in runs:
            reached = latest.get(run.key)
            trial = self._finished_trial(run) or Trial(
                weights=dict(run.config.balancer.options.get("weights", {})),
                run=run.key,
                balancer=run.config.balancer.name,
                status="abandoned" if run.key in abandoned else "failed",
                score=best.get(run.key),
                epochs=reached.epoch if reached else 0,
                seconds=reached.seconds if reached else 0.0,
                error=None if run.key in abandoned else self._error(run),
            )
            self._trials[run.key] = trial.model_copy(update={"cached": cached[run.key]})
        self._on_change(self)

    def _finished_trial(self, run: PlannedRun) -> Trial | None:
        result = run.result(self._root)
        if result is None:
            return None
        return Trial(
            weights=dict(run.config.balancer.options.get("weights", {})) or result.weights,
            run=run.key,
            balancer=run.config.balancer.name,
            status="finished",
            score=validation_score(run, self._root),
            epochs=run.config.training.epochs,
            seconds=result.seconds,
        )

    def _error(self, run: PlannedRun) -> str:
        return read_failure(run.directory(self._root)) or "it has left no result"


def plan_with(recipe: Recipe, balancer: str, weights: Weights | None = None) -> list[PlannedRun]:
    """Return the single-task networks of a recipe's first seed, and after them the run of a balancer."""
    content = {"name": balancer} if weights is None else {"name": balancer, "weights": weights, "label": _name(weights)}
    chosen = BalancerConfig.model_validate(content)
    return plan(recipe.model_copy(update={"balancers": (chosen,), "seeds": recipe.seeds[:1]}))


def _name(weights: Weights) -> str:
    return ", ".join(f"{task} {weight:g}" for task, weight in weights.items())

"""The matrix of a study: every variant, task, method, grid point and seed of a recipe, as planned runs."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from equipoise import data
from equipoise.config import SINGLE, BalancerConfig, Recipe, RunConfig, grid_points
from equipoise.studies.plan.keys import Fingerprints, forget_fingerprints, run_key
from equipoise.studies.plan.planned_run import FAILURE, PlannedRun
from equipoise.studies.plan.scoring import loss_score, validation_score
from equipoise.training.logs import read_log


def plan(recipe: Recipe, root: Path | None = None, fingerprints: Fingerprints | None = None) -> list[PlannedRun]:
    """Return the runs of a study that are known by now, each after those it needs.

    They are ordered by variant; in a variant the single-task networks come before the methods. Variants may share runs.
    A plan grows while it is executed, see `equipoise.studies.execute`: the hyper-parameters of the final runs of a grid
    are known when its trials have ended, and the weights of `fixed_from` when the run that they come from has ended.

    Args:
        recipe: The study.
        root: The directory that all studies share. Without it, no run counts as finished.
        fingerprints: Known fingerprints of data and weights; what is missing is computed and added.
    """
    known = fingerprints or Fingerprints()
    if not recipe.variants:
        return _Planner(recipe, root, known).plan()
    return [
        run
        for variant in recipe.variants
        for run in _Planner(
            recipe.variant(variant), root, known, variant.label, variant.reference or variant.label
        ).plan()
    ]


def count_runs(recipe: Recipe) -> int:
    """Return the number of runs that a study will have made in the end, if no two variants share a run.

    A grid is tried with every seed of `grid_seeds`. What it chooses runs with every seed that was not tried.
    """
    if recipe.variants:
        return sum(count_runs(recipe.variant(variant)) for variant in recipe.variants)
    seeds, trials = set(recipe.seeds), set(recipe.grid_seeds)
    of_recipe = len(grid_points(recipe.grid))
    points = [of_recipe * len(grid_points(one.grid)) for one in recipe.balancers if one.fixed_from is None]

    def runs(points: int) -> int:
        return len(seeds) if points == 1 else points * len(trials) + len(seeds - trials)

    # Trials of methods are compared with single-task networks of their own seed.
    extra = len(trials - seeds) if of_recipe == 1 and max(points, default=1) > 1 else 0
    fixed = sum(one.fixed_from is not None for one in recipe.balancers) * len(seeds)
    return len(recipe.tasks) * (runs(of_recipe) + extra) + sum(map(runs, points)) + fixed


def prepare_data(recipe: Recipe, progress: Callable[[int, int], None] | None = None) -> None:
    """Generate the data of a study that are generated on first use, and look at all data anew.

    Call it before `plan`: without its data a run matches no finished one.

    Args:
        recipe: The study.
        progress: Called with how much is generated, and how much there is to generate.

    Raises:
        DatasetError: The data are not there.
    """
    for variant in [recipe.variant(variant) for variant in recipe.variants] or [recipe]:
        grid = {key: values for key, values in variant.grid.items() if key.startswith("data.")}
        for point in grid_points(grid):
            config = variant.at(point).data
            data.dataset_class(config.name).prepare(config.root, config.options, progress)
    forget_fingerprints()


_Point = Callable[[int], PlannedRun]
"""A choice of hyper-parameters: from a seed to the run."""

_Score = Callable[[PlannedRun, Path], float | None]
"""The score of a run, see `validation_score`."""


@dataclass(frozen=True)
class _Choice:
    """One point of the grids of a recipe and a method."""

    recipe: Recipe
    balancer: BalancerConfig
    values: Mapping[str, Any]


class _Planner:
    """Plans one variant of a study."""

    def __init__(
        self,
        recipe: Recipe,
        root: Path | None,
        fingerprints: Fingerprints,
        variant: str | None = None,
        reference: str | None = None,
    ) -> None:
        self._recipe, self._root, self._fingerprints = recipe, root, fingerprints
        self._variant, self._reference = variant, reference

    def plan(self) -> list[PlannedRun]:
        recipe, uniform = self._recipe, BalancerConfig(name="uniform")
        trials: list[PlannedRun] = []
        settled = [
            self._settle([self._point(SINGLE, choice, (task,)) for choice in self._choices(uniform)], trials)
            for task in recipe.tasks
        ]
        singles = [point for point in settled if point is not None]
        # Fixed weights are trained as the method that they come from, so they have no hyper-parameters to choose.
        methods = [balancer for balancer in recipe.balancers if balancer.fixed_from is None]
        grids = {balancer.title: self._choices(balancer) for balancer in methods}
        # Trials are compared with the single-task networks of their own seed, which may not be in the table.
        has_grid = any(len(grid) > 1 for grid in grids.values())
        of_seed = {seed: [point(seed) for point in singles] for seed in recipe.seeds}
        for seed in recipe.grid_seeds if has_grid else ():
            if seed not in of_seed:
                trials += [replace(point(seed), trial=True) for point in singles]
        single_runs = [run for runs in of_seed.values() for run in runs]
        if len(singles) < len(settled):
            return [*trials, *single_runs]
        method_trials: list[PlannedRun] = []
        chosen = {
            title: self._settle([self._point(title, choice, recipe.tasks, singles) for choice in grid], method_trials)
            for title, grid in grids.items()
        }
        finals = {seed: list(self._finals(chosen, seed)) for seed in recipe.seeds}
        if not method_trials:
            return [*trials, *(run for seed in recipe.seeds for run in (*of_seed[seed], *finals[seed]))]
        return [*trials, *single_runs, *method_trials, *itertools.chain.from_iterable(finals.values())]

    def _choices(self, balancer: BalancerConfig) -> list[_Choice]:
        """Return every point of the grids of the recipe and of a method."""
        methods = [(balancer.at(options), options) for options in grid_points(balancer.grid)]
        return [
            _Choice(recipe, method, values | options) for recipe, values in self._recipes for method, options in methods
        ]

    @cached_property
    def _recipes(self) -> list[tuple[Recipe, dict[str, Any]]]:
        """The recipe at every point of its own grid."""
        return [(self._recipe.at(values), values) for values in grid_points(self._recipe.grid)]

    def _point(self, title: str, choice: _Choice, tasks: tuple[str, ...], singles: Sequence[_Point] = ()) -> _Point:
        recipe = choice.recipe

        def run(seed: int) -> PlannedRun:
            config = RunConfig(
                imports=recipe.imports,
                data=recipe.data,
                tasks=tasks,
                model=recipe.model,
                training=recipe.training,
                balancer=choice.balancer,
                seed=seed,
                protocol=recipe.run_protocol,
            )
            needs = tuple(single(seed).key for single in singles)
            key = run_key(config, needs, self._fingerprints)
            return PlannedRun(config, key, title, needs, self._variant, self._reference, choice.values)

        return run

    def _settle(self, points: Sequence[_Point], trials: list[PlannedRun]) -> _Point | None:
        """Return the best point by the mean validation score of its trials; none before all trials have ended.

        Losses decide if no point has a delta_m, because the single-task networks have none to compare with. The trials
        are appended to `trials`; a single point needs none.
        """
        if len(points) == 1:
            return points[0]
        of_points = [[replace(point(seed), trial=True) for seed in self._recipe.grid_seeds] for point in points]
        trials += itertools.chain.from_iterable(of_points)
        for score in (validation_score, loss_score):
            scores = [[self._score(trial, score) for trial in of_point] for of_point in of_points]
            if any(found is None for of_point in scores for found in of_point):
                return None
            means = [fmean(found for found in of_point if found is not None) for of_point in scores]
            if max(means) > -math.inf:
                return points[max(range(len(points)), key=means.__getitem__)]
        # All trials have failed, so there is nothing to choose by.
        return None

    def _score(self, trial: PlannedRun, score: _Score) -> float | None:
        """Return the score of a trial on validation; minus infinity if it failed, none before it has ended."""
        if self._root is None:
            return None
        return -math.inf if (trial.directory(self._root) / FAILURE).exists() else score(trial, self._root)

    def _finals(self, chosen: Mapping[str, _Point | None], seed: int) -> Iterator[PlannedRun]:
        for balancer in self._recipe.balancers:
            point = chosen[balancer.fixed_from or balancer.title]
            if point is None:
                continue
            run = point(seed)
            if balancer.fixed_from is None:
                yield run
            elif self._root is not None and run.result(self._root) is not None:
                yield self._fixed(balancer.title, run, settled_weights(run.directory(self._root)))

    def _fixed(self, title: str, source: PlannedRun, weights: Mapping[str, float]) -> PlannedRun:
        """Return the run with the weights of another one. The weights define it; where they come from does not."""
        balancer = BalancerConfig.model_validate({"name": "fixed", "label": title, "weights": weights})
        chosen = {key: value for key, value in source.chosen.items() if key in self._recipe.grid}
        config = source.config.model_copy(update={"balancer": balancer})
        key = run_key(config, source.needs, self._fingerprints)
        return replace(source, config=config, key=key, title=title, chosen=chosen)


_MOMENTUM = 0.9


def settled_weights(directory: Path) -> dict[str, float]:
    """Return the weights that a run has settled on, for `fixed_from` (Gama & Grassi, 2025, section 5.6).

    The mean weights of every epoch are divided by their sum. The result is the last value of their exponential moving
    average over epochs, with momentum 0.9 and the first epoch as its start. The paper lets the weights sum to 1,
    because its uniform loss is a mean; ours is a sum, so they sum to the number of tasks.

    Args:
        directory: Directory of a finished run.

    Raises:
        ValueError: The run has recorded no weights, because its method does not weigh losses.
    """
    average: dict[str, float] = {}
    for line in read_log(directory):
        # A task has no weight in an epoch in which it had no labels or no finite weight.
        weights: dict[str, float] = {task: w for task, w in line.get("weight", {}).items() if w is not None}
        if line["split"] != "train" or not weights:
            continue
        total = sum(weights.values())
        for task, weight in weights.items():
            share = weight / total
            average[task] = _MOMENTUM * average.get(task, share) + (1 - _MOMENTUM) * share
    if not average:
        raise ValueError(f"`fixed_from` needs a run with loss weights. Found none in {directory}.")
    total = sum(average.values())
    return {task: len(average) * weight / total for task, weight in average.items()}

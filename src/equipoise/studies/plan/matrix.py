"""From a recipe to its runs."""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from equipoise._core.text import file_name
from equipoise.config import SINGLE, BalancerConfig, Recipe, RunConfig, grid_points
from equipoise.studies.plan.scoring import loss_score, validation_score
from equipoise.training import read_result
from equipoise.training.logs import read_log

MOMENTUM = 0.9


def distilled_weights(directory: Path) -> dict[str, float]:
    """The weights that a run settled on, as paper two distils them (section 5.6).

    The mean weights of every epoch are divided by their sum, and averaged over epochs by an exponential moving average
    with momentum 0.9 that starts at the first; its last value is taken. Paper two lets them sum to 1, since its uniform
    loss is a mean; ours is a sum, so they sum to the number of tasks.

    Args:
        directory: Of a finished run.

    Raises:
        ValueError: The run has recorded no weights, as those of methods that do not weigh losses.
    """
    average: dict[str, float] = {}
    for line in read_log(directory):
        # A task that has had no labels in an epoch, or no finite weight, has none there.
        weights: dict[str, float] = {task: w for task, w in line.get("weight", {}).items() if w is not None}
        if line["split"] != "train" or not weights:
            continue
        total = sum(weights.values())
        for task, weight in weights.items():
            share = weight / total
            average[task] = MOMENTUM * average.get(task, share) + (1 - MOMENTUM) * share
    if not average:
        raise ValueError(f"`fixed_from` needs a run with loss weights. Found none in {directory}.")
    total = sum(average.values())
    return {task: len(average) * weight / total for task, weight in average.items()}


FAILURE = "failure.json"
"""In the directory of a run that failed."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        config: What is trained.
        title: How tables call its method; `single` for single-task networks.
        needs: The runs whose results it is compared with while it trains, by `key`.
        variant: The label of the variant of the study that it belongs to, if the study has variants.
        reference: The variant whose single-task networks it is compared with in the end; like `variant` by default.
        chosen: The hyper-parameters that are its point of the grids, by key.
        trial: Whether it serves to choose hyper-parameters and does not stand in the table.
    """

    config: RunConfig
    title: str
    needs: tuple[str, ...] = ()
    variant: str | None = None
    reference: str | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    trial: bool = False

    @cached_property
    def key(self) -> str:
        """What is trained in short, and a hash of all that can change the result: equal runs of two studies are one."""
        irrelevant = {
            "data": {"cache"},
            "balancer": {"label", "grid", "fixed_from"},
            "training": {"accelerator", "workers", "probe"},
        }
        content = {"config": self.config.model_dump(mode="json", exclude=irrelevant), "needs": self.needs}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        return file_name("-".join((self.config.data.name, self.config.balancer.name, *self.config.tasks, digest)))

    @property
    def name(self) -> str:
        """A name for people: variant, method, task of a single-task network, seed."""
        variant = f"{self.variant}, " if self.variant else ""
        tasks = f" {self.config.tasks[0]}" if self.title == SINGLE else ""
        trial = "trial, " if self.trial else ""
        return f"{variant}{self.title}{tasks} ({trial}seed {self.config.seed})"

    def directory(self, root: Path) -> Path:
        """Where the run lives below the directory that all studies share."""
        return run_directory(root, self.key)


def run_directory(root: Path, key: str) -> Path:
    """Where the run with a key lives below the directory that all studies share."""
    return root / "runs" / key


def plan(recipe: Recipe, root: Path | None = None) -> list[PlannedRun]:
    """The runs of a study as far as they can be told from what is finished, each after those it needs.

    They go by variant: the single-task networks, then the balancers; variants may share runs. Which hyper-parameters
    the final runs of a grid have is known when its trials have ended, and the weights of `fixed_from` when the run
    that they come from has; so a plan grows while it is executed, see `equipoise.studies.execute`.

    Args:
        recipe: The study.
        root: The directory that all studies share; nothing is finished if left out.
    """
    if not recipe.variants:
        return _Planner(recipe, root, None, None).plan()
    return [
        run
        for variant in recipe.variants
        for run in _Planner(recipe.variant(variant), root, variant.label, variant.reference or variant.label).plan()
    ]


Point = Callable[[int], PlannedRun]
"""A choice of hyper-parameters: from a seed to the run."""

_Score = Callable[[Path, Sequence[Path]], float | None]
"""How well a run does, see `validation_score`: from its directory and those of single-task networks."""


@dataclass(frozen=True)
class _Choice:
    recipe: Recipe
    balancer: BalancerConfig
    values: Mapping[str, Any]


class _Planner:
    """Plans one variant."""

    def __init__(self, recipe: Recipe, root: Path | None, variant: str | None, reference: str | None) -> None:
        self._recipe, self._root, self._variant, self._reference = recipe, root, variant, reference

    def plan(self) -> list[PlannedRun]:
        recipe, uniform = self._recipe, BalancerConfig(name="uniform")
        trials: list[PlannedRun] = []
        settled = [
            self._settle([self._point(SINGLE, one, (task,)) for one in self._grid(uniform)], trials)
            for task in recipe.tasks
        ]
        singles = [point for point in settled if point is not None]
        # Distilled weights are trained as what they come from was, so there is nothing of their own to choose.
        own = [balancer for balancer in recipe.balancers if balancer.fixed_from is None]
        grids = {balancer.title: self._grid(balancer) for balancer in own}
        # Trials are compared with the single-task networks of their own seed, which the table may do without.
        extra = [seed for seed in recipe.grid_seeds if any(len(grid) > 1 for grid in grids.values())]
        of_seed = {seed: [point(seed) for point in singles] for seed in recipe.seeds}
        for seed in extra:
            if seed not in of_seed:
                trials += [replace(point(seed), trial=True) for point in singles]
        if len(singles) < len(settled):
            return [*trials, *itertools.chain.from_iterable(of_seed.values())]
        further: list[PlannedRun] = []
        chosen = {
            title: self._settle([self._point(title, one, recipe.tasks, singles) for one in grid], further)
            for title, grid in grids.items()
        }
        finals = {seed: list(self._finals(chosen, seed)) for seed in recipe.seeds}
        if not further:
            return [*trials, *(run for seed in recipe.seeds for run in (*of_seed[seed], *finals[seed]))]
        return [
            *trials,
            *itertools.chain.from_iterable(of_seed.values()),
            *further,
            *itertools.chain.from_iterable(finals.values()),
        ]

    def _finals(self, chosen: Mapping[str, "Point | None"], seed: int) -> Iterator[PlannedRun]:
        for balancer in self._recipe.balancers:
            point = chosen[balancer.fixed_from or balancer.title]
            if point is None:
                continue
            if balancer.fixed_from is None:
                yield point(seed)
            elif (weights := self._weights(point, seed)) is not None:
                yield self._fixed(balancer.title, point(seed), weights)

    def _grid(self, balancer: BalancerConfig) -> list[_Choice]:
        """Every point of the grids of the recipe and of a balancer."""
        methods = [(balancer.at(options), options) for options in grid_points(balancer.grid)]
        return [
            _Choice(recipe, method, values | options) for recipe, values in self._recipes for method, options in methods
        ]

    @cached_property
    def _recipes(self) -> list[tuple[Recipe, dict[str, Any]]]:
        """The recipe at every point of its own grid."""
        return [(self._recipe.at(values), values) for values in grid_points(self._recipe.grid)]

    def _point(
        self,
        title: str,
        choice: _Choice,
        tasks: tuple[str, ...],
        singles: Sequence[Point] = (),
    ) -> Point:
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
            return PlannedRun(config, title, needs, self._variant, self._reference, choice.values)

        return run

    def _settle(self, points: Sequence[Point], trials: list[PlannedRun]) -> Point | None:
        """The best of some points by the mean validation score of their trials; none before all have ended.

        Where no point has a delta_m, because single-task networks have none to compare with, losses decide. The trials
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
        # Where all have failed there is nothing to choose by.
        return None

    def _score(self, trial: PlannedRun, score: _Score) -> float | None:
        """What a trial reached on validation, minus infinity if it failed, or none before it has ended."""
        if self._root is None:
            return None
        directory = trial.directory(self._root)
        if (directory / FAILURE).exists():
            return -math.inf
        return score(directory, [run_directory(self._root, key) for key in trial.needs])

    def _weights(self, source: Point, seed: int) -> dict[str, float] | None:
        if self._root is None or read_result(source(seed).directory(self._root)) is None:
            return None
        return distilled_weights(source(seed).directory(self._root))

    def _fixed(self, title: str, source: PlannedRun, weights: Mapping[str, float]) -> PlannedRun:
        # The weights define the run; which run they come from does not.
        balancer = BalancerConfig.model_validate({"name": "fixed", "label": title, "weights": weights})
        chosen = {key: value for key, value in source.chosen.items() if key in self._recipe.grid}
        config = source.config.model_copy(update={"balancer": balancer})
        return replace(source, config=config, title=title, chosen=chosen)


def runs_in_all(recipe: Recipe) -> int:
    """How many runs a study will have made in the end, where no two of its variants share one.

    A grid is tried with every seed of `grid_seeds`, and what it chose runs with every seed that has not been tried.
    """
    if recipe.variants:
        return sum(runs_in_all(recipe.variant(variant)) for variant in recipe.variants)
    seeds, trials = set(recipe.seeds), set(recipe.grid_seeds)
    of_recipe = len(grid_points(recipe.grid))
    points = [of_recipe * len(grid_points(one.grid)) for one in recipe.balancers if one.fixed_from is None]

    def runs(points: int) -> int:
        return len(seeds) if points == 1 else points * len(trials) + len(seeds - trials)

    # Trials of methods are compared with single-task networks of their own seed.
    extra = len(trials - seeds) if of_recipe == 1 and max(points, default=1) > 1 else 0
    fixed = sum(one.fixed_from is not None for one in recipe.balancers) * len(seeds)
    return len(recipe.tasks) * (runs(of_recipe) + extra) + sum(map(runs, points)) + fixed

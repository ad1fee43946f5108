"""From a recipe to its runs."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from equipoise.config import SINGLE, BalancerConfig, Recipe, RunConfig


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        config: What is trained.
        title: How tables call its method; `single` for single-task networks.
        needs: The runs whose results it is compared with while it trains, by `key`.
    """

    config: RunConfig
    title: str
    needs: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """What is trained in short, and a hash of all that can change the result: equal runs of two studies are one."""
        irrelevant = {"balancer": {"label"}, "training": {"accelerator", "workers"}}
        content = {"config": self.config.model_dump(mode="json", exclude=irrelevant), "needs": self.needs}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        return "-".join((self.config.data.name, self.config.balancer.name, *self.config.tasks, digest))

    @property
    def name(self) -> str:
        """A name for people: method, task of a single-task network, seed."""
        tasks = f" {self.config.tasks[0]}" if self.title == SINGLE else ""
        return f"{self.title}{tasks} (seed {self.config.seed})"

    def directory(self, root: Path) -> Path:
        """Where the run lives below the directory that all studies share."""
        return run_directory(root, self.key)


def run_directory(root: Path, key: str) -> Path:
    """Where the run with a key lives below the directory that all studies share."""
    return root / "runs" / key


def plan(recipe: Recipe) -> list[PlannedRun]:
    """The runs of a study, each after those it needs: for each seed the single-task networks, then the balancers."""
    planned = []
    for seed in recipe.seeds:
        singles = [
            PlannedRun(_run(recipe, (task,), BalancerConfig(name="uniform"), seed), SINGLE) for task in recipe.tasks
        ]
        needs = tuple(run.key for run in singles)
        planned += singles
        planned += [
            PlannedRun(_run(recipe, recipe.tasks, balancer, seed), balancer.title, needs)
            for balancer in recipe.balancers
        ]
    return planned


def _run(recipe: Recipe, tasks: tuple[str, ...], balancer: BalancerConfig, seed: int) -> RunConfig:
    return RunConfig(
        data=recipe.data,
        tasks=tasks,
        model=recipe.model,
        training=recipe.training,
        balancer=balancer,
        seed=seed,
        protocol=recipe.protocol,
    )

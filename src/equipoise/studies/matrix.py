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
        variant: The label of the variant of the study that it belongs to, if the study has variants.
        reference: The variant whose single-task networks it is compared with in the end; like `variant` by default.
    """

    config: RunConfig
    title: str
    needs: tuple[str, ...] = ()
    variant: str | None = None
    reference: str | None = None

    @cached_property
    def key(self) -> str:
        """What is trained in short, and a hash of all that can change the result: equal runs of two studies are one."""
        irrelevant = {"balancer": {"label"}, "data": {"cache"}, "training": {"accelerator", "workers"}}
        content = {"config": self.config.model_dump(mode="json", exclude=irrelevant), "needs": self.needs}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        return "-".join((self.config.data.name, self.config.balancer.name, *self.config.tasks, digest))

    @property
    def name(self) -> str:
        """A name for people: variant, method, task of a single-task network, seed."""
        variant = f"{self.variant}, " if self.variant else ""
        tasks = f" {self.config.tasks[0]}" if self.title == SINGLE else ""
        return f"{variant}{self.title}{tasks} (seed {self.config.seed})"

    def directory(self, root: Path) -> Path:
        """Where the run lives below the directory that all studies share."""
        return run_directory(root, self.key)


def run_directory(root: Path, key: str) -> Path:
    """Where the run with a key lives below the directory that all studies share."""
    return root / "runs" / key


def plan(recipe: Recipe) -> list[PlannedRun]:
    """The runs of a study, each after those it needs.

    They go by variant and seed: first the single-task networks, then the balancers. Variants may share runs.
    """
    if not recipe.variants:
        return _plan(recipe, None, None)
    return [
        run
        for variant in recipe.variants
        for run in _plan(recipe.variant(variant), variant.label, variant.reference or variant.label)
    ]


def _plan(recipe: Recipe, variant: str | None, reference: str | None) -> list[PlannedRun]:
    planned = []
    for seed in recipe.seeds:
        singles = [
            PlannedRun(
                _run(recipe, (task,), BalancerConfig(name="uniform"), seed),
                SINGLE,
                variant=variant,
                reference=reference,
            )
            for task in recipe.tasks
        ]
        needs = tuple(run.key for run in singles)
        planned += singles
        planned += [
            PlannedRun(_run(recipe, recipe.tasks, balancer, seed), balancer.title, needs, variant, reference)
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

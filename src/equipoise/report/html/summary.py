"""The summary of a page: numbers at its head, the state of every run, and commands to make each row again."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import yaml

from equipoise._core.text import duration
from equipoise.config import SINGLE, BalancerConfig, Recipe, VariantConfig
from equipoise.report.tables.certainty import AGAINST_UNIFORM
from equipoise.report.tables.table import Table
from equipoise.studies import PlannedRun, RunRow, Study
from equipoise.studies.results.frames import directory_of
from equipoise.studies.results.groups import Method, by_method, finished, multi_task
from equipoise.studies.results.study import RECIPE
from equipoise.training import read_result
from equipoise.training.logs import read_log


@dataclass(frozen=True)
class Fact:
    """A number with its name.

    Attributes:
        name: The name.
        value: The number as text.
        remark: A remark beside it.
    """

    name: str
    value: str
    remark: str = ""


def summary(study: Study, certainty: Table | None) -> list[Fact]:
    """Return the numbers at the head of the page.

    Args:
        study: The study.
        certainty: The table of `equipoise.report.certainty`; `None` if there is none.
    """
    means = _mean_delta_m(study.rows)
    found = []
    if means:
        best = max(means, key=lambda method: means[method])
        found.append(Fact("Best delta_m", _percent(means[best]), best.title))
        uniform = Method(best.variant, "uniform")
        if uniform in means and uniform != best:
            lead = means[best] - means[uniform]
            found.append(Fact("Uniform", _percent(means[uniform]), _lead(certainty, best, lead)))
    done = finished(study.rows)
    failed = sum(record.status == "failed" for record in study.rows)
    found.append(
        Fact("Runs finished", f"{len(done)} of {len(study.rows)}", f"{failed} failed" if failed else "none failed")
    )
    found.append(Fact("Training time", duration(sum(record.seconds for record in done)), "of all runs together"))
    return found


def _mean_delta_m(records: Sequence[RunRow]) -> dict[Method, float]:
    """Return delta_m of every method whose runs all have one, mean over seeds."""
    found = {}
    for method, runs in by_method(multi_task(records)).items():
        known = [run.delta_m for run in runs if run.delta_m is not None]
        if len(known) == len(runs):
            found[method] = fmean(known)
    return found


def _lead(certainty: Table | None, best: Method, difference: float) -> str:
    if certainty is None:
        return f"the best is {difference:.2f} points ahead, with one seed"
    row = next(place for place, row in enumerate(certainty.rows) if (row.variant, row.name) == best)
    column = next(place for place, column in enumerate(certainty.columns) if column.title == AGAINST_UNIFORM)
    return f"the best is {difference:.2f} points ahead {certainty.interval(row, column)}".rstrip()


def _percent(value: float) -> str:
    # A minus sign as long as the plus.
    return f"{value:+.2f} %".replace("-", "−")


@dataclass(frozen=True)
class RunState:
    """A run in the list.

    Attributes:
        variant: Label of the variant; `None` in a study without variants.
        method: Label of the method.
        tasks: The tasks that it is trained on.
        seed: The seed.
        status: `finished`, `failed`, `begun` or `missing`.
        description: The status in words.
        epoch: The epoch of the best checkpoint.
        delta: delta_m in percent.
        seconds: The time of the run.
        parameters: Number of parameters of its network.
        directory: The name of its directory below `runs`.
    """

    variant: str | None
    method: str
    tasks: str
    seed: int
    status: str
    description: str
    epoch: int | None
    delta: float | None
    seconds: float | None
    parameters: int | None
    directory: str


def run_states(study: Study) -> list[RunState]:
    """Return the runs of the main table, in their order."""
    return [_state(study, run, record) for run, record in zip(study.planned, study.rows, strict=True)]


def versions(study: Study) -> list[str]:
    """Return the software that the finished runs were made with: one line if all used the same."""
    results = (read_result(directory_of(record, study.root)) for record in study.rows)
    found = (result.versions for result in results if result is not None)
    return list(dict.fromkeys(", ".join(f"{name} {version}" for name, version in one.items()) for one in found))


def _state(study: Study, run: PlannedRun, record: RunRow) -> RunState:
    directory = directory_of(record, study.root)
    result = read_result(directory)
    status, description = record.status, record.status
    if record.status == "failed":
        description = f"failed: {record.error}"
    elif record.status == "missing":
        epochs = max((line["epoch"] for line in read_log(directory)), default=0)
        status = "begun" if epochs or (directory / "config.yaml").exists() else "missing"
        done = f"begun: epoch {epochs} of {run.config.training.epochs} is done"
        description = done if status == "begun" else "not begun"
    return RunState(
        variant=record.variant,
        method=record.balancer,
        tasks=", ".join(record.tasks),
        seed=record.seed,
        status=status,
        description=description,
        epoch=None if result is None else result.epoch,
        delta=record.delta_m,
        seconds=None if result is None else result.seconds,
        parameters=None if result is None else sum(result.parameters.values()),
        directory=directory.name,
    )


def study_command() -> str:
    """Return the command that makes the whole study."""
    return shlex.join(["equipoise", "bench", RECIPE])


def row_command(recipe: Recipe, variant: str | None, method: str) -> str:
    """Return the command that makes the runs of one method and the single-task networks that it is compared with.

    The command makes a study of its own, so that it does not overwrite the tables of this one. Runs that belong to both
    studies are made once.

    Args:
        recipe: The recipe of the study.
        variant: The label of the variant; `None` without variants.
        method: The label of the method; `single` for the single-task networks, which come with any method.
    """
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, (recipe.name, variant, method)))).strip("-")
    changes = {"name": name}
    if variant is None:
        changes["balancers"] = _yaml(_needed(recipe.balancers, method))
    else:
        changes["variants"] = _yaml(_variants(recipe, variant, method))
    return shlex.join(["equipoise", "bench", RECIPE, *(f"{key}={value}" for key, value in changes.items())])


def _variants(recipe: Recipe, label: str, method: str) -> list[VariantConfig]:
    """Return a variant and its reference, whose single-task networks it is compared with, with one method each."""
    known = {variant.label: variant for variant in recipe.variants}
    chosen = known[label]
    return [
        known[name].model_copy(
            update={"balancers": tuple(_needed(known[name].balancers or recipe.balancers, method)), "published": None}
        )
        for name in dict.fromkeys((chosen.reference or label, label))
    ]


def _needed(balancers: Sequence[BalancerConfig], method: str) -> list[BalancerConfig]:
    """Return a method, after the one whose weights it takes; for single-task networks any that needs no other."""
    by_title = {balancer.title: balancer for balancer in balancers}
    first = next(balancer for balancer in balancers if balancer.fixed_from is None)
    chosen = first if method == SINGLE else by_title.get(method, first)
    return [chosen] if chosen.fixed_from is None else [by_title[chosen.fixed_from], chosen]


def _yaml(configs: Sequence[BalancerConfig | VariantConfig]) -> str:
    """Return YAML on one line, without defaults."""
    content: Any = [config.model_dump(mode="json", exclude_defaults=True) for config in configs]
    return yaml.safe_dump(
        content, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    ).strip()

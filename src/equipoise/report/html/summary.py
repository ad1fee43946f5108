"""What a study found in a few numbers, for the head of its page."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import yaml

from equipoise._core.text import duration
from equipoise.config import SINGLE, BalancerConfig, Recipe, VariantConfig
from equipoise.report.tables.table import Row, Table
from equipoise.studies import PlannedRun, RunRow, Study
from equipoise.studies.results.frames import directory_of
from equipoise.studies.results.study import RECIPE
from equipoise.training import read_result
from equipoise.training.logs import read_log


@dataclass(frozen=True)
class Fact:
    """A number with what it is.

    Attributes:
        name: What it is.
        value: The number.
        remark: What is to be known about it.
    """

    name: str
    value: str
    remark: str = ""


def facts(study: Study, sure: Table | None) -> list[Fact]:
    """The best method, uniform, the runs and their time.

    Args:
        study: The study.
        sure: How sure the order of its methods is, see `equipoise.report.certainty`.
    """
    means = _means(study.rows)
    found = []
    if means:
        variant, method = best = max(means, key=lambda key: means[key])
        found.append(Fact("Best delta_m", _percent(means[best]), _title(variant, method)))
        uniform = (variant, "uniform")
        if uniform in means and uniform != best:
            found.append(Fact("Uniform", _percent(means[uniform]), _ahead(sure, best, means[best] - means[uniform])))
    done = [record for record in study.rows if record.status == "finished"]
    failed = sum(record.status == "failed" for record in study.rows)
    found.append(
        Fact("Runs finished", f"{len(done)} of {len(study.rows)}", f"{failed} failed" if failed else "none failed")
    )
    found.append(Fact("Training time", duration(sum(record.seconds for record in done)), "of all runs together"))
    return found


def _means(records: tuple[RunRow, ...]) -> dict[tuple[str | None, str], float]:
    """delta_m of every method of which all runs are finished."""
    found = {}
    for key in dict.fromkeys((record.variant, record.balancer) for record in records if record.balancer != SINGLE):
        deltas = [record.delta_m for record in records if (record.variant, record.balancer) == key]
        known = [delta for delta in deltas if delta is not None]
        if known and len(known) == len(deltas):
            found[key] = fmean(known)
    return found


def _ahead(sure: Table | None, best: tuple[str | None, str], difference: float) -> str:
    if sure is None:
        return f"the best is {difference:.2f} points ahead, with one seed"
    place = next(place for place, row in enumerate(sure.rows) if _key(row) == best)
    column = next(place for place, column in enumerate(sure.columns) if column.title == "against uniform")
    return f"the best is {difference:.2f} points ahead {sure.interval(place, column)}".rstrip()


def _key(row: Row) -> tuple[str | None, str]:
    return row.variant, row.name


def _title(variant: str | None, method: str) -> str:
    return f"{variant}, {method}" if variant else method


def _percent(value: float) -> str:
    # A minus sign as long as the plus.
    return f"{value:+.2f} %".replace("-", "−")


@dataclass(frozen=True)
class RunState:
    """One run, for the list of runs.

    Attributes:
        variant: Of the study, if it has variants.
        method: Label of the method.
        tasks: What it is trained on.
        seed: Of the run.
        status: `finished`, `failed`, `begun` or `missing`.
        told: The same in words.
        epoch: Which epoch's checkpoint was chosen.
        delta: delta_m in percent.
        seconds: Time of the run.
        parameters: Of its network.
        directory: Its name below `runs`.
    """

    variant: str | None
    method: str
    tasks: str
    seed: int
    status: str
    told: str
    epoch: int | None
    delta: float | None
    seconds: float | None
    parameters: int | None
    directory: str


def run_states(study: Study) -> list[RunState]:
    """The runs of the table, in their order."""
    return [_state(study, run, record) for run, record in zip(study.planned, study.rows, strict=True)]


def versions(study: Study) -> list[str]:
    """The software that the finished runs were made with; one line if it was the same for all."""
    results = (read_result(directory_of(record, study.root)) for record in study.rows)
    found = (result.versions for result in results if result is not None)
    return list(dict.fromkeys(", ".join(f"{name} {version}" for name, version in one.items()) for one in found))


def _state(study: Study, run: PlannedRun, record: RunRow) -> RunState:
    directory = directory_of(record, study.root)
    result = read_result(directory)
    status, told = record.status, record.status
    if record.status == "failed":
        told = f"failed: {record.error}"
    elif record.status == "missing":
        epochs = max((line["epoch"] for line in read_log(directory)), default=0)
        status = "begun" if epochs or (directory / "config.yaml").exists() else "missing"
        told = f"begun: epoch {epochs} of {run.config.training.epochs} is done" if status == "begun" else "not begun"
    return RunState(
        variant=record.variant,
        method=record.balancer,
        tasks=", ".join(record.tasks),
        seed=record.seed,
        status=status,
        told=told,
        epoch=None if result is None else result.epoch,
        delta=record.delta_m,
        seconds=None if result is None else result.seconds,
        parameters=None if result is None else sum(result.parameters.values()),
        directory=directory.name,
    )


def whole_command(recipe: str = RECIPE) -> str:
    """The command that makes the whole study."""
    return shlex.join(["equipoise", "bench", recipe])


def row_command(recipe: Recipe, variant: str | None, method: str) -> str:
    """The command that makes the runs of one method, with the single-task networks that it is compared with.

    It makes a study of its own, so that it does not overwrite the tables of this one; runs that both have are one.

    Args:
        recipe: Of the study.
        variant: The variant's label, if there are variants.
        method: The method's label; `single` for the single-task networks, which come with any method.
    """
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, (recipe.name, variant, method)))).strip("-")
    changes = {"name": name}
    if variant is None:
        changes["balancers"] = _plain(_needed(recipe.balancers, method))
    else:
        changes["variants"] = _plain(_variants(recipe, variant, method))
    return shlex.join(["equipoise", "bench", RECIPE, *(f"{key}={value}" for key, value in changes.items())])


def _variants(recipe: Recipe, label: str, method: str) -> list[VariantConfig]:
    """A variant and the one whose single-task networks it is compared with, with one method each."""
    known = {variant.label: variant for variant in recipe.variants}
    chosen = known[label]
    return [
        known[name].model_copy(
            update={"balancers": tuple(_needed(known[name].balancers or recipe.balancers, method)), "published": None}
        )
        for name in dict.fromkeys((chosen.reference or label, label))
    ]


def _needed(balancers: Sequence[BalancerConfig], method: str) -> list[BalancerConfig]:
    """A method, with the one whose weights it takes if it does; any that needs no other for single-task networks."""
    by_title = {balancer.title: balancer for balancer in balancers}
    first = next(balancer for balancer in balancers if balancer.fixed_from is None)
    chosen = first if method == SINGLE else by_title.get(method, first)
    return [chosen] if chosen.fixed_from is None else [by_title[chosen.fixed_from], chosen]


def _plain(configs: Sequence[BalancerConfig | VariantConfig]) -> str:
    """As YAML on one line, without what is so by default."""
    content: Any = [config.model_dump(mode="json", exclude_defaults=True) for config in configs]
    return yaml.safe_dump(
        content, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    ).strip()

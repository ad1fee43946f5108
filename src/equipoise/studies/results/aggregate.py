"""What a study found, made anew from the run directories."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import polars
from pydantic import BaseModel, ConfigDict, Field

from equipoise._core.files import replace, write_json
from equipoise.config import SINGLE
from equipoise.metrics import delta_m_within_tasks
from equipoise.studies.plan.matrix import PlannedRun
from equipoise.studies.run.runner import read_failure
from equipoise.training import RunResult, read_result
from equipoise.training.selection import comparable, main_metrics


class RunRow(BaseModel):
    """One run of a study, as `results.json` lists it.

    Attributes:
        variant: Label of the variant of the study, if it has variants.
        reference: The variant whose single-task networks delta_m is against.
        dataset: Name of the dataset.
        architecture: Name of the architecture.
        backbone: Name of the backbone; none for an architecture with a trunk of its own.
        balancer: Label of the method, else its name; `single` for a single-task network.
        tasks: What the network was trained on.
        seed: Of the run.
        protocol: How its checkpoint was chosen.
        status: `finished`, `failed`, or `missing` where it has not been run.
        metrics: By `task.metric` on the test split: miou and odsf in percent, rmse in metres, merr in degrees; NaN
            (null on disk) where one cannot be had.
        delta_m: Percent, against the mean over seeds of the single-task networks of the variant's reference (P1,
            equation 5; of several metrics a task P2, section 5); none where it cannot be had.
        weights: Mean loss weight by task.
        chosen: The hyper-parameters that were chosen on validation, by key.
        seconds: Time of the run.
        directory: Where the run is.
        error: Why it failed; not in `results.json`, but in `failure.json` of its directory.
        selection: What its checkpoint was chosen by; not in `results.json`, but in `result.json` of its directory.
    """

    model_config = ConfigDict(frozen=True)

    variant: str | None = None
    reference: str | None = None
    dataset: str
    architecture: str
    backbone: str | None
    balancer: str
    tasks: tuple[str, ...]
    seed: int
    protocol: str
    status: Literal["finished", "failed", "missing"]
    metrics: dict[str, float]
    delta_m: float | None
    weights: dict[str, float]
    chosen: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda chosen: not chosen)
    seconds: float
    directory: str
    error: str | None = Field(default=None, exclude=True)
    selection: str | None = Field(default=None, exclude=True)


def collect(planned: Sequence[PlannedRun], root: Path) -> list[RunRow]:
    """The records of all planned runs but trials, in their order."""
    planned = [run for run in planned if not run.trial]
    results = {run.key: read_result(run.directory(root)) for run in planned}
    single = _single(planned, results)
    # The single-task networks of a reference may be trials as yet, or not among the runs.
    return [_record(run, results[run.key], single.get(run.reference, {}), root) for run in planned]


def write_results(records: Sequence[RunRow], path: Path) -> None:
    """Write `results.json`: a list with one object a run."""
    write_json(path, [record.model_dump(mode="json") for record in records])


def results_frame(records: Sequence[RunRow]) -> polars.DataFrame:
    """Return a row a run, for anybody's own analysis; metrics and weights are columns of their own.

    The columns are those of `results.json` but `metrics`, `weights` and `chosen`, then `task.metric` for every metric
    and `weight.task` for every weight; null where a run has none. `chosen` is JSON.
    """
    rows = []
    for record in records:
        content = record.model_dump(exclude={"metrics", "weights", "chosen"})
        weights = {f"weight.{task}": weight for task, weight in record.weights.items()}
        chosen = json.dumps(record.chosen) if record.chosen else None
        rows.append(content | {"tasks": list(record.tasks), "chosen": chosen} | record.metrics | weights)
    # The whole data are looked at for the types: a first row without a number says nothing about them.
    return polars.DataFrame(rows, infer_schema_length=None)


def write_parquet(records: Sequence[RunRow], path: Path) -> None:
    """Write `results.parquet`: `results_frame`."""
    table = results_frame(records)
    replace(path, lambda beside: table.write_parquet(beside))


def _single(
    planned: Sequence[PlannedRun], results: Mapping[str, RunResult | None]
) -> dict[str | None, dict[str, float]]:
    """The mean metrics of the single-task networks of every variant."""
    values: dict[str | None, dict[str, list[float]]] = {run.variant: {} for run in planned}
    for run in planned:
        result = results[run.key]
        if run.title == SINGLE and result is not None:
            for key, value in result.metrics.items():
                values[run.variant].setdefault(key, []).append(value)
    return {variant: {key: fmean(found) for key, found in of.items()} for variant, of in values.items()}


def _record(run: PlannedRun, result: RunResult | None, single: Mapping[str, float], root: Path) -> RunRow:
    config, directory = run.config, run.directory(root)
    error = read_failure(directory) if result is None else None
    return RunRow(
        variant=run.variant,
        reference=run.reference,
        dataset=config.data.name,
        architecture=config.model.architecture,
        backbone=config.model.backbone,
        balancer=run.title,
        tasks=config.tasks,
        seed=config.seed,
        protocol=config.protocol,
        status="failed" if error else "missing" if result is None else "finished",
        metrics={} if result is None else result.metrics,
        delta_m=None if result is None else _delta_m(run, result, single),
        weights={} if result is None else result.weights,
        chosen=dict(run.chosen),
        seconds=0.0 if result is None else result.seconds,
        directory=str(directory),
        error=error,
        selection=None if result is None else result.selection,
    )


def _delta_m(run: PlannedRun, result: RunResult, single: Mapping[str, float]) -> float | None:
    directions = main_metrics(run.config.data.tasks(run.config.tasks))
    measured = {key: result.metrics.get(key, math.nan) for key in directions}
    if not comparable(single, directions) or not all(map(math.isfinite, measured.values())):
        return None
    return delta_m_within_tasks(measured, {key: single[key] for key in directions}, directions)

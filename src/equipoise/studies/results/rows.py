"""The results of a study: one row a run, and the files `results.json` and `results.parquet`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import polars
from pydantic import BaseModel, ConfigDict, Field

from equipoise._core.files import replace, write_json


class RunRow(BaseModel):
    """One run of a study, as `results.json` lists it.

    Attributes:
        variant: Label of the variant of the study; none if it has no variants.
        reference: Label of the variant whose single-task networks delta_m is against.
        dataset: Name of the dataset.
        architecture: Name of the architecture.
        backbone: Name of the backbone; none for an architecture with a trunk of its own.
        balancer: Label of the method, else its name; `single` for a single-task network.
        tasks: Names of the tasks that the network was trained on.
        seed: Seed of the run.
        protocol: How the checkpoint was chosen.
        status: `finished`, `failed`, or `missing` if it has not been run.
        metrics: Values on the test split by `task.metric`: miou and odsf in percent, rmse in metres, merr in degrees;
            NaN (null on disk) if there is no value.
        delta_m: Percent, against the mean over seeds of the single-task networks of the reference (Guo et al., 2025,
            equation 5; with several metrics a task, Gama & Grassi, 2025, section 5); none if there is no value.
        weights: Mean loss weight by task.
        chosen: Hyper-parameters that were chosen on validation, by key.
        seconds: Duration of the run.
        directory: Directory of the run.
        error: Why the run failed. It is in `failure.json` of the run's directory, not in `results.json`.
        selection: Criterion of the chosen checkpoint. It is in `result.json` of the run's directory, not in
            `results.json`.
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


def write_results(rows: Sequence[RunRow], path: Path) -> None:
    """Write `results.json`: a list with one object a run."""
    write_json(path, [row.model_dump(mode="json") for row in rows])


def results_frame(rows: Sequence[RunRow]) -> polars.DataFrame:
    """Return one row a run, with a column for every metric and every weight.

    The columns are those of `results.json` except `metrics`, `weights` and `chosen`, then `chosen` as JSON, then
    `task.metric` for every metric and `weight.task` for every weight. A run without a value has null there.
    """
    lines = []
    for row in rows:
        content = row.model_dump(exclude={"metrics", "weights", "chosen"})
        weights = {f"weight.{task}": weight for task, weight in row.weights.items()}
        chosen = json.dumps(row.chosen) if row.chosen else None
        lines.append(content | {"tasks": list(row.tasks), "chosen": chosen} | row.metrics | weights)
    # Types are inferred from all rows: the first may be of a run without any number.
    return polars.DataFrame(lines, infer_schema_length=None)


def write_parquet(rows: Sequence[RunRow], path: Path) -> None:
    """Write `results.parquet`, see `results_frame`."""
    table = results_frame(rows)
    replace(path, lambda beside: table.write_parquet(beside))

"""What the runs of a study have logged, as tidy data frames for `equipoise.figures`.

Runs are found below the directory that all studies share, also if it was moved. A run that has not logged something, or
whose file is damaged, gives no rows; an unfinished run gives the rows that it has.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars

from equipoise.diagnosis import read, read_distances
from equipoise.studies.plan.planned_run import run_directory
from equipoise.studies.results.groups import multi_task
from equipoise.studies.results.rows import RunRow
from equipoise.training.logs import read_log
from equipoise.training.session import DISTANCES, PROBE

_OF_RUN: dict[str, Any] = {"method": polars.String, "seed": polars.Int64}
"""Columns of every frame: the run that a row comes from."""


def directory_of(row: RunRow, root: Path) -> Path:
    """Return the present directory of a run.

    Args:
        row: The run.
        root: The directory that all studies share.
    """
    return run_directory(root, Path(row.directory).name)


def gradients(
    rows: Sequence[RunRow], root: Path, kind: Callable[[polars.DataFrame], polars.DataFrame]
) -> polars.DataFrame:
    """Return what the probes of some runs have recorded.

    Args:
        rows: The runs.
        root: The directory that all studies share.
        kind: `equipoise.diagnosis.by_task`, `by_pair` or `by_step`.

    Returns:
        The columns of `kind`, and `method` and `seed`. All single-task networks of a seed are one method with many
        tasks.
    """
    return _joined(rows, lambda row: kind(read(directory_of(row, root) / PROBE)))


def feature_distances(rows: Sequence[RunRow], root: Path) -> polars.DataFrame:
    """Return how far shared features were from those of single-task networks.

    Returns:
        `method`, `seed`, `step`, `task`, `distance`.
    """
    return _joined(rows, lambda row: read_distances(directory_of(row, root) / DISTANCES))


def loss_weights(rows: Sequence[RunRow], root: Path) -> polars.DataFrame:
    """Return the mean loss weights of every epoch.

    Single-task networks have none, nor have methods whose update is no weighted sum.

    Returns:
        `method`, `seed`, `epoch`, `task`, `weight`.
    """
    lines = [
        (row.balancer, row.seed, line["epoch"], task, weight)
        for row in multi_task(rows)
        for line in read_log(directory_of(row, root))
        if line["split"] == "train"
        for task, weight in line.get("weight", {}).items()
    ]
    schema = _OF_RUN | {"epoch": polars.Int64, "task": polars.String, "weight": polars.Float64}
    return polars.DataFrame(lines, schema=schema, orient="row")


def stages(rows: Sequence[RunRow]) -> polars.DataFrame:
    """Return delta_m by variant: one row for every multi-task run that has one.

    Returns:
        `stage` (the variant), `method`, `seed`, `value` (percent).
    """
    lines = [
        (row.variant or "", row.balancer, row.seed, row.delta_m) for row in multi_task(rows) if row.delta_m is not None
    ]
    return polars.DataFrame(lines, schema={"stage": polars.String} | _OF_RUN | {"value": polars.Float64}, orient="row")


def _joined(rows: Iterable[RunRow], frame_of: Callable[[RunRow], polars.DataFrame]) -> polars.DataFrame:
    frames = []
    for row in rows:
        try:
            frame = frame_of(row)
        except ValueError:
            # Not recorded, or damaged: the other runs still make a figure.
            continue
        frames.append(frame.with_columns(method=polars.lit(row.balancer), seed=polars.lit(row.seed)))
    return polars.concat(frames) if frames else polars.DataFrame(schema=_OF_RUN)

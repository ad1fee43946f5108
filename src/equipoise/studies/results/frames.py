"""What the runs of a study have logged, as tidy data for `equipoise.figures`.

Runs are looked up below the directory that all studies share, wherever that was when they were made. A run that has not
logged something, or whose file is damaged, gives no rows; one that is not finished gives those it has.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars

from equipoise.config import SINGLE
from equipoise.diagnosis import read, read_distances
from equipoise.studies.plan.matrix import run_directory
from equipoise.studies.results.aggregate import RunRow
from equipoise.training.logs import read_log
from equipoise.training.session import DISTANCES, PROBE

OF_RUN: dict[str, Any] = {"method": polars.String, "seed": polars.Int64}
"""What every frame says of the run that a row comes from."""


def directory_of(record: RunRow, root: Path) -> Path:
    """Where a run is now.

    Args:
        record: Of the run.
        root: The directory that all studies share.
    """
    return run_directory(root, Path(record.directory).name)


def gradients(
    records: Sequence[RunRow], root: Path, kind: Callable[[polars.DataFrame], polars.DataFrame]
) -> polars.DataFrame:
    """What the probes of some runs have recorded.

    Args:
        records: The runs.
        root: The directory that all studies share.
        kind: `equipoise.diagnosis.by_task`, `by_pair` or `by_step`.

    Returns:
        Its columns, and `method` and `seed`. All single-task networks of a seed are one method with many tasks.
    """
    return _joined(records, lambda record: kind(read(directory_of(record, root) / PROBE)))


def feature_distances(records: Sequence[RunRow], root: Path) -> polars.DataFrame:
    """`method`, `seed`, `step`, `task`, `distance`: how far features were from those of single-task networks."""
    return _joined(records, lambda record: read_distances(directory_of(record, root) / DISTANCES))


def loss_weights(records: Sequence[RunRow], root: Path) -> polars.DataFrame:
    """`method`, `seed`, `epoch`, `task`, `weight`: the mean loss weights of every epoch.

    Single-task networks, and methods whose update is no weighted sum, have none.
    """
    rows = [
        (record.balancer, record.seed, line["epoch"], task, weight)
        for record in records
        if record.balancer != SINGLE
        for line in read_log(directory_of(record, root))
        if line["split"] == "train"
        for task, weight in line.get("weight", {}).items()
    ]
    schema = OF_RUN | {"epoch": polars.Int64, "task": polars.String, "weight": polars.Float64}
    return polars.DataFrame(rows, schema=schema, orient="row")


def stages(records: Sequence[RunRow]) -> polars.DataFrame:
    """`stage`, `method`, `seed`, `value`: delta_m in percent by variant, a row a multi-task run that has one."""
    rows = [
        (record.variant or "", record.balancer, record.seed, record.delta_m)
        for record in records
        if record.balancer != SINGLE and record.delta_m is not None
    ]
    return polars.DataFrame(rows, schema={"stage": polars.String} | OF_RUN | {"value": polars.Float64}, orient="row")


def _joined(records: Iterable[RunRow], frame_of: Callable[[RunRow], polars.DataFrame]) -> polars.DataFrame:
    found = []
    for record in records:
        try:
            frame = frame_of(record)
        except ValueError:
            # Not recorded, or damaged: a figure of the others is better than none.
            continue
        found.append(frame.with_columns(method=polars.lit(record.balancer), seed=polars.lit(record.seed)))
    return polars.concat(found) if found else polars.DataFrame(schema=OF_RUN)

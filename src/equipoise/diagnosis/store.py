"""Measured steps on disk: one Parquet file that is whole at any time."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars

SCHEMA = polars.Schema(
    {
        "step": polars.Int64,
        "tasks": polars.List(polars.String),
        "losses": polars.List(polars.Float64),
        "weights": polars.List(polars.Float64),
        "gram": polars.List(polars.Float64),
        "with_update": polars.List(polars.Float64),
        "update_square": polars.Float64,
        "coherence": polars.List(polars.Float64),
    }
)
"""A row a measured step: its number, counted from 1, and the fields of `equipoise.balancing.Measurement`. `gram` is
written row by row; `weights` is null for methods whose update is no weighted sum. `coherence` is the cosine of every
task's gradient with its gradient in the recorded step before, NaN in the first; null where the probe looks at features,
whose gradients belong to one batch, and in files of earlier versions."""


def frame(rows: Sequence[dict[str, Any]]) -> polars.DataFrame:
    """Rows of plain data as a frame."""
    return polars.DataFrame(list(rows), schema=SCHEMA, orient="row")


def write(recorded: polars.DataFrame, path: Path) -> None:
    """Replace the file in one move, so that a killed run leaves it whole."""
    beside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        recorded.write_parquet(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> polars.DataFrame:
    """What a probe has recorded.

    Args:
        path: The Parquet file.

    Raises:
        ValueError: There is no such file, or it is not a probe's.
    """
    try:
        found = polars.read_parquet(path)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise ValueError(f"`path` should be a file that a probe has written. Found {str(path)!r} ({error}).") from error
    if "coherence" not in found.columns:
        found = found.with_columns(polars.lit(None, SCHEMA["coherence"]).alias("coherence"))
    if found.schema != SCHEMA:
        raise ValueError(f"`path` should be a file that a probe has written. Found {str(path)!r}: other columns.")
    return found

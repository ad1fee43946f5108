"""The Parquet file of a probe: its schema, and how it is written and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars

from equipoise._core.files import replace

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
"""One row a recorded step: its number, counted from 1, and the fields of the balancing engine's `Measurement`.

- `gram` holds the rows of the Gram matrix one after the other, T x T numbers.
- `weights` is null for methods whose update is no weighted sum.
- `coherence` is the cosine of each task's gradient with its gradient in the recorded step before, NaN in the first. It
  is null in files of earlier versions, and if the probe looks at features: their gradients belong to one batch."""


def records_frame(rows: Sequence[dict[str, Any]]) -> polars.DataFrame:
    """Return rows of plain values as a frame with the schema of a probe.

    Args:
        rows: One dictionary a recorded step, with the keys of `SCHEMA`.
    """
    return polars.DataFrame(list(rows), schema=SCHEMA, orient="row")


def write_records(recorded: polars.DataFrame, path: Path) -> None:
    """Replace a Parquet file. The file is either the old or the new one, whenever the process is killed.

    Args:
        recorded: The records of a probe or of a feature distance.
        path: The file.
    """
    replace(path, recorded.write_parquet)


def read(path: Path) -> polars.DataFrame:
    """Read the records of a probe.

    Args:
        path: The Parquet file.

    Returns:
        A row a recorded step, see `SCHEMA`.

    Raises:
        ValueError: The file is missing, damaged, or no probe has written it.
    """
    try:
        recorded = polars.read_parquet(path)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise ValueError(f"`path` should be a file that a probe has written. Found {str(path)!r} ({error}).") from error
    if "coherence" not in recorded.columns:
        recorded = recorded.with_columns(polars.lit(None, SCHEMA["coherence"]).alias("coherence"))
    if recorded.schema != SCHEMA:
        raise ValueError(f"`path` should be a file that a probe has written. Found {str(path)!r}: other columns.")
    return recorded

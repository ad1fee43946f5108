"""Tidy tables of what a probe has recorded: a row a step and task, a row a step and pair of tasks, a row a step."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars

_DEPENDENT = 1e-3
"""Combinations of unit gradients with a smaller square than this, over that of the longest, are no direction."""


def implied_weights(gram: np.ndarray, with_update: np.ndarray) -> np.ndarray:
    r"""The weights whose weighted sum of task gradients comes nearest to an update.

    The update of methods such as GradDrop and DB-MTL is no weighted sum of the gradients of the step. Its projection on
    them is one, :math:`G w = (g_i \cdot u)_i`; where several weights make it, as of gradients that are copies of each
    other, these are the nearest to 1, contributions measured by their length.

    Args:
        gram: Inner products of the task gradients, [T, T].
        with_update: Their inner products with the update, [T].

    Returns:
        [T]; NaN where something given is not finite.
    """
    norms = np.sqrt(np.clip(gram.diagonal(), 0, None))
    lengths = np.where(norms > 0, norms, 1.0)
    cosines = gram / np.outer(lengths, lengths)
    missing = (with_update - gram.sum(axis=1)) / lengths
    if not (np.isfinite(cosines).all() and np.isfinite(missing).all()):
        return np.full(len(norms), np.nan)
    return 1 + np.linalg.pinv(cosines, rcond=_DEPENDENT, hermitian=True) @ missing / lengths


class _Step(NamedTuple):
    number: int
    tasks: list[str]
    losses: np.ndarray
    weights: np.ndarray | None
    gram: np.ndarray
    norms: np.ndarray
    with_update: np.ndarray
    update_square: float
    coherence: np.ndarray


def by_task(recorded: polars.DataFrame) -> polars.DataFrame:
    """A row for each step and task.

    Columns, with g_i the gradient of task i, w_i its weight (where the method has none, that which comes nearest to its
    update) and u the update:

    - `step`, `task`, `loss`, `weight` (null where the method has none)
    - `norm`: |g_i|; `weighted_norm`: w_i |g_i| (P1, figures 8, 15, 16), null where the method has no weights
    - `cosine_with_update`: cos(g_i, u) (P1, figures 7, 9, 14)
    - `share`: w_i g_i . u / |u|^2, how much of the update the task owns. Where the update is the weighted sum, the
      shares of a step sum to 1; a task whose contribution the others cancel has a negative one
    - `coherence`: the cosine of the task's gradient with that of the recorded step before. Between independent batches
      its mean is about the part of the gradient's squared norm that is signal, and not the noise of a batch.

    Args:
        recorded: From `Probe.recorded` or `read`.
    """
    rows = []
    for step in _steps(recorded):
        weights = implied_weights(step.gram, step.with_update) if step.weights is None else step.weights
        update_norm = np.sqrt(step.update_square)
        cosines = _over(step.with_update, step.norms * update_norm)
        shares = _over(weights * step.with_update, np.full(len(step.tasks), step.update_square))
        for place, task in enumerate(step.tasks):
            rows.append(
                {
                    "step": step.number,
                    "task": task,
                    "loss": step.losses[place],
                    "weight": None if step.weights is None else weights[place],
                    "norm": step.norms[place],
                    "weighted_norm": None if step.weights is None else weights[place] * step.norms[place],
                    "cosine_with_update": cosines[place],
                    "share": shares[place],
                    "coherence": step.coherence[place],
                }
            )
    numbers = ("loss", "weight", "norm", "weighted_norm", "cosine_with_update", "share", "coherence")
    return _frame(rows, {"step": polars.Int64, "task": polars.String} | dict.fromkeys(numbers, polars.Float64))


def by_pair(recorded: polars.DataFrame) -> polars.DataFrame:
    """A row for each step and pair of tasks: `step`, `first`, `second`, and of their unweighted gradients

    - `cosine` (P1, figures 10 and 11), `dot` (figures 12 and 13)
    - `magnitude_similarity`: 2 |g_i| |g_j| / (|g_i|^2 + |g_j|^2), 1 for equal norms (Yu et al., arXiv 2001.06782,
      definition 3).

    Args:
        recorded: From `Probe.recorded` or `read`.
    """
    rows = []
    for step in _steps(recorded):
        products = np.outer(step.norms, step.norms)
        cosines = _over(step.gram, products)
        squares = step.norms**2
        similar = _over(2 * products, squares[:, None] + squares[None, :])
        for i, first in enumerate(step.tasks):
            for j in range(i + 1, len(step.tasks)):
                rows.append(
                    {
                        "step": step.number,
                        "first": first,
                        "second": step.tasks[j],
                        "cosine": cosines[i, j],
                        "dot": step.gram[i, j],
                        "magnitude_similarity": similar[i, j],
                    }
                )
    numbers = dict.fromkeys(("cosine", "dot", "magnitude_similarity"), polars.Float64)
    return _frame(rows, {"step": polars.Int64, "first": polars.String, "second": polars.String} | numbers)


def by_step(recorded: polars.DataFrame) -> polars.DataFrame:
    """A row for each step.

    - `step`, `tasks` (their number T), `update_norm`
    - `conflict_rate`: the share of pairs of tasks with a negative cosine
    - `singular_values` of the matrix of the unweighted task gradients that are not zero, largest first; what cannot be
      told from rounding is 0
    - `condition_number` of that matrix, the largest over the smallest; NaN where the gradients are linearly dependent
    - `cosine_with_mean`: the mean over tasks of cos(g_i, g), g the sum of the unweighted gradients (P2, section 6)
    - `orthogonal`: what that would be for orthogonal gradients of equal norms, 1 / sqrt(T)
    - `norm_balance`: |a|_1 / (sqrt(T) |a|_2) with a the norms; 1 where they are equal. For orthogonal gradients
      `cosine_with_mean` is `orthogonal` times this, whatever else goes on in the network
    - `alignment`: `cosine_with_mean` over that product; above 1 where tasks agree, below where they conflict.

    Args:
        recorded: From `Probe.recorded` or `read`.
    """
    rows = []
    for step in _steps(recorded):
        count = len(step.tasks)
        pairs = np.triu_indices(count, 1)
        values = _singular_values(step)
        with_sum = step.gram.sum(axis=1)
        sum_norm = np.sqrt(max(step.gram.sum(), 0.0))
        mean_cosine = _over(with_sum, step.norms * sum_norm).mean()
        orthogonal = 1 / np.sqrt(count)
        balance = _over(step.norms.sum(), np.sqrt(count) * np.linalg.norm(step.norms))
        rows.append(
            {
                "step": step.number,
                "tasks": count,
                "update_norm": np.sqrt(step.update_square),
                "conflict_rate": (step.gram[pairs] < 0).mean() if count > 1 else None,
                "singular_values": values.tolist(),
                "condition_number": _over(values[0], values[-1]) if len(values) else np.nan,
                "cosine_with_mean": mean_cosine,
                "orthogonal": orthogonal,
                "norm_balance": balance,
                "alignment": _over(mean_cosine, orthogonal * balance),
            }
        )
    numbers = ("cosine_with_mean", "orthogonal", "norm_balance", "alignment")
    schema = {"step": polars.Int64, "tasks": polars.Int64, "update_norm": polars.Float64}
    schema |= {"conflict_rate": polars.Float64, "singular_values": polars.List(polars.Float64)}
    schema |= {"condition_number": polars.Float64} | dict.fromkeys(numbers, polars.Float64)
    return _frame(rows, schema)


def _steps(recorded: polars.DataFrame) -> Iterator[_Step]:
    for row in recorded.iter_rows(named=True):
        count = len(row["tasks"])
        gram = np.array(row["gram"], dtype=float).reshape(count, count)
        yield _Step(
            row["step"],
            row["tasks"],
            np.array(row["losses"], dtype=float),
            None if row["weights"] is None else np.array(row["weights"], dtype=float),
            gram,
            np.sqrt(np.clip(gram.diagonal(), 0, None)),
            np.array(row["with_update"], dtype=float),
            max(row["update_square"], 0.0),
            np.full(count, np.nan) if row["coherence"] is None else np.array(row["coherence"], dtype=float),
        )


def _singular_values(step: _Step) -> np.ndarray:
    """Of the gradients that are not zero, largest first. Below T * eps of the largest, eigenvalues are rounding."""
    there = step.norms > 0
    squares = np.linalg.eigvalsh(step.gram[np.ix_(there, there)])[::-1]
    return np.sqrt(np.where(squares > len(squares) * np.finfo(float).eps * squares.max(initial=0), squares, 0))


def _over(numerator: Any, denominator: Any) -> Any:
    """A quotient; NaN where the denominator is zero, as a gradient of zero has no direction."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(denominator) > 0, np.asarray(numerator) / np.asarray(denominator), np.nan)[()]


def _frame(rows: list[dict[str, Any]], schema: dict[str, Any]) -> polars.DataFrame:
    plain = [
        {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()} for row in rows
    ]
    return polars.DataFrame(plain, schema=schema, orient="row")


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


def records_frame(rows: Sequence[dict[str, Any]]) -> polars.DataFrame:
    """Rows of plain data as a frame."""
    return polars.DataFrame(list(rows), schema=SCHEMA, orient="row")


def write_records(recorded: polars.DataFrame, path: Path) -> None:
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

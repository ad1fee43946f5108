"""Tidy tables of a probe's records: one row a step and task, a step and pair of tasks, or a step."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars

_DEPENDENT = 1e-3
"""Directions of the unit gradients whose squared length is below this part of the longest one's are ignored."""


def by_task(recorded: polars.DataFrame) -> polars.DataFrame:
    """Return a row for each step and task.

    With g_i the gradient of task i, w_i its weight (if the method has none, that of `implied_weights`) and u the
    update, the columns are:

    - `step`, `task`, `loss`, `weight` (null if the method has none)
    - `norm`: |g_i|; `weighted_norm`: w_i |g_i| (Guo et al. (2025), figures 8, 15, 16), null if the method has none
    - `cosine_with_update`: cos(g_i, u) (figures 7, 9, 14)
    - `share`: w_i g_i . u / |u|^2, the task's part of the update. If the update is the weighted sum, the shares of a
      step sum to 1. A task whose contribution the others cancel has a negative share
    - `coherence`: the cosine of the task's gradient with that of the recorded step before. Between independent batches
      its mean is about the part of the gradient's squared norm that is signal and not noise of the batch.

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    rows = []
    for step in _steps(recorded):
        weights = implied_weights(step.gram, step.with_update) if step.weights is None else step.weights
        update_norm = np.sqrt(step.update_square)
        cosines = quotient(step.with_update, step.norms * update_norm)
        shares = quotient(weights * step.with_update, np.full(len(step.tasks), step.update_square))
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
    """Return a row for each step and pair of tasks.

    The columns are `step`, `first`, `second`, and of the two unweighted gradients:

    - `cosine` (Guo et al. (2025), figures 10 and 11), `dot` (figures 12 and 13)
    - `magnitude_similarity`: 2 |g_i| |g_j| / (|g_i|^2 + |g_j|^2), 1 for equal norms (Yu et al., arXiv 2001.06782,
      definition 3).

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    rows = []
    for step in _steps(recorded):
        products = np.outer(step.norms, step.norms)
        cosines = quotient(step.gram, products)
        squares = step.norms**2
        similar = quotient(2 * products, squares[:, None] + squares[None, :])
        for i, first in enumerate(step.tasks):
            rows.extend(
                {
                    "step": step.number,
                    "first": first,
                    "second": step.tasks[j],
                    "cosine": cosines[i, j],
                    "dot": step.gram[i, j],
                    "magnitude_similarity": similar[i, j],
                }
                for j in range(i + 1, len(step.tasks))
            )
    numbers = dict.fromkeys(("cosine", "dot", "magnitude_similarity"), polars.Float64)
    return _frame(rows, {"step": polars.Int64, "first": polars.String, "second": polars.String} | numbers)


def by_step(recorded: polars.DataFrame) -> polars.DataFrame:
    """Return a row for each step.

    - `step`, `tasks` (their number T), `update_norm`
    - `conflict_rate`: the fraction of pairs of tasks with a negative cosine; null for one task
    - `singular_values`: those of the matrix of the unweighted task gradients that are not zero, largest first. Values
      within rounding of 0 are 0
    - `condition_number`: the largest singular value over the smallest; NaN if the gradients are linearly dependent
    - `cosine_with_mean`: the mean over tasks of cos(g_i, g), g the sum of the unweighted gradients (Gama & Grassi
      (2025), section 6)
    - `orthogonal`: the value of `cosine_with_mean` for orthogonal gradients of equal norms, 1 / sqrt(T)
    - `norm_balance`: |a|_1 / (sqrt(T) |a|_2) with a the norms; 1 if they are equal. For orthogonal gradients
      `cosine_with_mean` equals `orthogonal` times this
    - `alignment`: `cosine_with_mean` over that product; above 1 if tasks agree, below 1 if they conflict.

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    rows = []
    for step in _steps(recorded):
        count = len(step.tasks)
        pairs = np.triu_indices(count, 1)
        values = _singular_values(step)
        with_sum = step.gram.sum(axis=1)
        sum_norm = np.sqrt(max(step.gram.sum(), 0.0))
        mean_cosine = quotient(with_sum, step.norms * sum_norm).mean()
        orthogonal = 1 / np.sqrt(count)
        balance = quotient(step.norms.sum(), np.sqrt(count) * np.linalg.norm(step.norms))
        rows.append(
            {
                "step": step.number,
                "tasks": count,
                "update_norm": np.sqrt(step.update_square),
                "conflict_rate": (step.gram[pairs] < 0).mean() if count > 1 else None,
                "singular_values": values.tolist(),
                "condition_number": quotient(values[0], values[-1]) if len(values) else np.nan,
                "cosine_with_mean": mean_cosine,
                "orthogonal": orthogonal,
                "norm_balance": balance,
                "alignment": quotient(mean_cosine, orthogonal * balance),
            }
        )
    numbers = ("cosine_with_mean", "orthogonal", "norm_balance", "alignment")
    schema = {"step": polars.Int64, "tasks": polars.Int64, "update_norm": polars.Float64}
    schema |= {"conflict_rate": polars.Float64, "singular_values": polars.List(polars.Float64)}
    schema |= {"condition_number": polars.Float64} | dict.fromkeys(numbers, polars.Float64)
    return _frame(rows, schema)


def implied_weights(gram: np.ndarray, with_update: np.ndarray) -> np.ndarray:
    r"""Return the weights whose weighted sum of task gradients is nearest to an update.

    The update of methods such as GradDrop and DB-MTL is no weighted sum of the gradients of the step. Its projection on
    them is one: $G w = (g_i \cdot u)_i$. If several weights solve this, as for gradients that are copies of each other,
    these are the nearest to 1, with each difference measured by the length of its contribution.

    Args:
        gram: Inner products of the task gradients, [T, T].
        with_update: Their inner products with the update, [T].

    Returns:
        [T]; all NaN if an argument is not finite.
    """
    norms = np.sqrt(np.clip(gram.diagonal(), 0, None))
    lengths = np.where(norms > 0, norms, 1.0)
    cosines = gram / np.outer(lengths, lengths)
    missing = (with_update - gram.sum(axis=1)) / lengths
    if not (np.isfinite(cosines).all() and np.isfinite(missing).all()):
        return np.full(len(norms), np.nan)
    return 1 + np.linalg.pinv(cosines, rcond=_DEPENDENT, hermitian=True) @ missing / lengths


def quotient(numerator: Any, denominator: Any) -> Any:
    """Divide element by element; NaN unless the denominator is above 0, as a gradient of zero has no direction."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(denominator) > 0, np.asarray(numerator) / np.asarray(denominator), np.nan)[()]


class _Step(NamedTuple):
    """One recorded step as arrays: [T], [T, T] and scalars."""

    number: int
    tasks: list[str]
    losses: np.ndarray
    weights: np.ndarray | None
    gram: np.ndarray
    norms: np.ndarray
    with_update: np.ndarray
    update_square: float
    coherence: np.ndarray


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
    """Return those of the gradients that are not zero, largest first."""
    nonzero = step.norms > 0
    squares = np.linalg.eigvalsh(step.gram[np.ix_(nonzero, nonzero)])[::-1]
    # Eigenvalues below T * eps of the largest are rounding errors.
    return np.sqrt(np.where(squares > len(squares) * np.finfo(float).eps * squares.max(initial=0), squares, 0))


def _frame(rows: list[dict[str, Any]], schema: dict[str, Any]) -> polars.DataFrame:
    plain = [
        {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()} for row in rows
    ]
    return polars.DataFrame(plain, schema=schema, orient="row")

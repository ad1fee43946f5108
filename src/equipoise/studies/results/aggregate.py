"""Collects the results of a study from its run directories."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from equipoise.config import SINGLE
from equipoise.metrics import delta_m_within_tasks
from equipoise.studies.plan.planned_run import PlannedRun, read_failure
from equipoise.studies.results.groups import group, mean_by_key
from equipoise.studies.results.rows import RunRow
from equipoise.training import RunResult
from equipoise.training.selection import comparable, main_metrics


def collect(planned: Sequence[PlannedRun], root: Path) -> list[RunRow]:
    """Return the rows of all planned runs except trials, in their order.

    Args:
        planned: The runs of a study.
        root: The directory that all studies share.
    """
    in_table = [run for run in planned if not run.trial]
    results = {run.key: run.result(root) for run in in_table}
    single = _single_task_means(in_table, results)
    # The single-task networks of a reference may be trials so far, or not be among the runs.
    return [_row(run, results[run.key], single.get(run.reference, {}), root) for run in in_table]


def _single_task_means(
    runs: Sequence[PlannedRun], results: Mapping[str, RunResult | None]
) -> dict[str | None, dict[str, float]]:
    """Return the mean metrics of the single-task networks by variant."""
    single = group((run for run in runs if run.title == SINGLE), lambda run: run.variant)
    found = {variant: [results[run.key] for run in of_variant] for variant, of_variant in single.items()}
    return {
        variant: mean_by_key(result.metrics for result in of_variant if result is not None)
        for variant, of_variant in found.items()
    }


def _row(run: PlannedRun, result: RunResult | None, single: Mapping[str, float], root: Path) -> RunRow:
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

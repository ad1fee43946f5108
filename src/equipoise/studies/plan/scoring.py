"""Scores of finished runs on the split that checkpoints are chosen on."""

import math
from pathlib import Path

from equipoise.studies.plan.planned_run import PlannedRun, run_directory
from equipoise.training import RunResult, read_result
from equipoise.training.evaluation import Evaluation
from equipoise.training.selection import FALLBACK, Selection, main_metrics


def validation_score(run: PlannedRun, root: Path) -> float | None:
    """Return the score of the chosen checkpoint of a run; higher is better.

    The score of a network of several tasks is delta_m in percent. That of a network of one task is its main metric,
    with the sign that makes higher values better.

    Args:
        run: The run.
        root: The directory that all studies share.

    Returns:
        None if the run, or a single-task network that it is compared with, is not finished. Minus infinity if there is
        no score: a metric is not finite, as in a network that diverged, or one of a single-task network is not above 0,
        so that nothing is relative to it.
    """
    result = run.result(root)
    if result is None:
        return None
    tasks, single = run.config.data.tasks(run.config.tasks), {}
    for needed in _finished_singles(run, root):
        single |= needed.validation
    if len(tasks) > 1 and not main_metrics(tasks).keys() <= single.keys():
        return None
    selection = Selection(tasks, single)
    return -math.inf if selection.criterion == FALLBACK else selection.score(_evaluation(result))


def loss_score(run: PlannedRun, root: Path) -> float | None:
    """Return the score of a run by its losses, for runs without a delta_m; higher is better.

    It is minus the mean over tasks of the loss relative to that of the single-task network. It stands in for delta_m as
    the mean relative loss does in `Selection`. Runs that are compared with each other need losses relative to the same
    values, so the first evaluation of each run would not do.

    Args:
        run: The run.
        root: The directory that all studies share.

    Returns:
        None if the run is not finished.
    """
    result = run.result(root)
    if result is None:
        return None
    losses: dict[str, float] = {}
    for needed in _finished_singles(run, root):
        losses |= needed.losses
    return Selection(run.config.data.tasks(run.config.tasks), None, losses).score(_evaluation(result))


def _finished_singles(run: PlannedRun, root: Path) -> list[RunResult]:
    found = (read_result(run_directory(root, key)) for key in run.needs)
    return [result for result in found if result is not None]


def _evaluation(result: RunResult) -> Evaluation:
    return Evaluation(result.validation, result.losses)

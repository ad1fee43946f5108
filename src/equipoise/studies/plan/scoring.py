"""How well a finished run does on the split that checkpoints are chosen on."""

import math
from collections.abc import Sequence
from pathlib import Path

from equipoise.tasks import Task
from equipoise.training import RunResult, read_result
from equipoise.training.evaluation import Evaluation
from equipoise.training.selection import FALLBACK, Selection, main_metrics


def validation_score(directory: Path, singles: Sequence[Path] = ()) -> float | None:
    """How good the checkpoint of a run is on the split that it was chosen on; higher is better.

    For a network of several tasks delta_m in percent, for one of a single task its main metric with the sign that makes
    more of it better.

    Args:
        directory: Of the run.
        singles: Of the single-task networks that a network of several tasks is compared with.

    Returns:
        Minus infinity where it cannot be had: a metric is not finite, as of a network that diverged, or one of a
        single-task network is not above 0, so that nothing is relative to it; none where the run or a network that it
        is compared with is not finished.
    """
    result = read_result(directory)
    if result is None:
        return None
    tasks, single = _tasks(result), {}
    for needed in _finished(singles):
        single |= needed.validation
    if len(tasks) > 1 and not main_metrics(tasks).keys() <= single.keys():
        return None
    selection = Selection(tasks, single)
    return -math.inf if selection.criterion == FALLBACK else selection.score(_evaluation(result))


def loss_score(directory: Path, singles: Sequence[Path] = ()) -> float | None:
    """The same by losses, where there is no delta_m: their mean over tasks relative to the single-task networks'.

    With a minus sign. It stands in as the mean relative loss does in `Selection`; but runs that are compared with each
    other need losses relative to the same, which their own first evaluations are not.
    """
    result = read_result(directory)
    if result is None:
        return None
    losses: dict[str, float] = {}
    for needed in _finished(singles):
        losses |= needed.losses
    return Selection(_tasks(result), None, losses).score(_evaluation(result))


def _tasks(result: RunResult) -> dict[str, Task]:
    return result.config.data.tasks(result.config.tasks)


def _finished(singles: Sequence[Path]) -> list[RunResult]:
    return [result for single in singles if (result := read_result(single)) is not None]


def _evaluation(result: RunResult) -> Evaluation:
    return Evaluation(result.validation, result.losses)

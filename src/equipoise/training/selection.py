"""Which evaluation of a run is its best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from equipoise.metrics import delta_m
from equipoise.tasks import Task
from equipoise.training.evaluation import Evaluation

FALLBACK = "mean relative loss"
"""What checkpoints of several tasks are chosen by where there are no single-task results."""


def main_metrics(tasks: Mapping[str, Task]) -> dict[str, bool]:
    """The main metric of every task as `task.metric`, and whether a higher value is better."""
    return {f"{name}.{task.metric}": task.higher_is_better for name, task in tasks.items()}


@dataclass
class Selection:
    """Scores evaluations; higher is better.

    With single-task results to compare with, the score is delta_m over the main metrics (P1, equation 5), as the
    study's tables have it. A network of one task is scored by its main metric. Otherwise the score is the mean over
    tasks of the loss relative to the first evaluation's, with a minus sign.

    Attributes:
        tasks: The tasks of the network.
        single: Main metrics of single-task networks on the same split, or none.
        first_losses: The losses of the first evaluation; remembered between calls.
    """

    tasks: Mapping[str, Task]
    single: Mapping[str, float] | None
    first_losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        directions = main_metrics(self.tasks)
        comparable = self.single is not None and all(
            math.isfinite(self.single.get(key, math.nan)) and self.single[key] > 0 for key in directions
        )
        if not comparable:
            self.single = None

    @property
    def criterion(self) -> str:
        """What the score is, in words."""
        if len(self.tasks) == 1:
            return next(iter(main_metrics(self.tasks)))
        return "delta_m" if self.single is not None else FALLBACK

    def score(self, evaluation: Evaluation) -> float:
        """The score of an evaluation; minus infinity if it cannot be had, as of a network that diverged."""
        self.first_losses = self.first_losses or dict(evaluation.losses)
        directions = main_metrics(self.tasks)
        measured = {key: evaluation.metrics[key] for key in directions}
        if not all(map(math.isfinite, measured.values())):
            return -math.inf
        if len(measured) == 1:
            key, value = next(iter(measured.items()))
            return value if directions[key] else -value
        if self.single is not None:
            return delta_m(measured, {key: self.single[key] for key in directions}, directions)
        relative = [loss / max(self.first_losses.get(task, loss), 1e-12) for task, loss in evaluation.losses.items()]
        score = -sum(relative) / len(relative)
        return score if math.isfinite(score) else -math.inf

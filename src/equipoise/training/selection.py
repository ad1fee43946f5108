"""Which evaluation of a run is its best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from equipoise.metrics import delta_m_within_tasks
from equipoise.tasks import Task
from equipoise.training.evaluation import Evaluation

FALLBACK = "mean relative loss"
"""What checkpoints of several tasks are chosen by where there are no single-task results."""


def main_metrics(tasks: Mapping[str, Task]) -> dict[str, bool]:
    """What every task is compared by as `task.metric`, and whether a higher value is better; see `Task.compared`."""
    return {f"{name}.{metric}": higher for name, task in tasks.items() for metric, higher in task.compared.items()}


def comparable(single: Mapping[str, float], directions: Mapping[str, bool]) -> bool:
    """Whether there is a delta_m against single-task results: all are there, finite and above 0."""
    return all(math.isfinite(single.get(key, math.nan)) and single[key] > 0 for key in directions)


@dataclass
class Selection:
    """Scores evaluations; higher is better.

    With single-task results to compare with, the score is delta_m, as the study's tables have it (P1, equation 5; P2,
    section 5). A network of one task is scored by its main metric; where it is compared by further ones, each has a
    best evaluation of its own (P2, section 4). Otherwise the score is the mean over tasks of the loss relative to the
    first evaluation's, with a minus sign.

    Attributes:
        tasks: The tasks of the network.
        single: Main metrics of single-task networks on the same split, or none.
        first_losses: The losses of the first evaluation; remembered between calls.
    """

    tasks: Mapping[str, Task]
    single: Mapping[str, float] | None
    first_losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.single is not None and not comparable(self.single, main_metrics(self.tasks)):
            self.single = None

    @property
    def criterion(self) -> str:
        """What the score is, in words."""
        if len(self.tasks) == 1:
            return ", ".join(main_metrics(self.tasks))
        return "delta_m" if self.single is not None else FALLBACK

    @property
    def further(self) -> tuple[str, ...]:
        """The metrics of a network of one task that have a best evaluation of their own, besides that of the score."""
        return tuple(main_metrics(self.tasks))[1:] if len(self.tasks) == 1 else ()

    def score(self, evaluation: Evaluation) -> float:
        """The score of an evaluation; minus infinity if it cannot be had, as of a network that diverged."""
        self.first_losses = self.first_losses or dict(evaluation.losses)
        directions = main_metrics(self.tasks)
        if len(self.tasks) == 1:
            return self.score_by(next(iter(directions)), evaluation.metrics)
        measured = {key: evaluation.metrics.get(key, math.nan) for key in directions}
        if not all(map(math.isfinite, measured.values())):
            return -math.inf
        if self.single is not None:
            return delta_m_within_tasks(measured, {key: self.single[key] for key in directions}, directions)
        relative = [loss / max(self.first_losses.get(task, loss), 1e-12) for task, loss in evaluation.losses.items()]
        score = -sum(relative) / len(relative)
        return score if math.isfinite(score) else -math.inf

    def score_by(self, metric: str, metrics: Mapping[str, float]) -> float:
        """The score by one metric alone: its value, with the sign that makes more of it better."""
        value = metrics.get(metric, math.nan)
        if not math.isfinite(value):
            return -math.inf
        return value if main_metrics(self.tasks)[metric] else -value

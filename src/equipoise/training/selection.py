"""Which evaluation of a run is its best."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from equipoise._core.files import write_json
from equipoise.config import RunConfig
from equipoise.metrics import delta_m_within_tasks
from equipoise.tasks import Task
from equipoise.training.evaluation import Evaluation

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number read from JSON, where null stands for one that is not finite."""

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


RESULT = "result.json"


class RunResult(BaseModel):
    """The outcome of a run; `result.json` in its directory, written last, so that its presence means finished.

    Attributes:
        config: What was run.
        metrics: By `task.metric`, of the chosen checkpoint on the test split; NaN (null on disk) where one cannot be
            had. Where a network of one task is compared by several, each is of the best checkpoint by it.
        validation: The same on the split that the checkpoint was chosen on.
        losses: Mean loss by task on that split.
        weights: Loss weight by task, mean over all steps in which the task had labels.
        epoch: The chosen checkpoint's epoch, counted from 1.
        steps: Optimisation steps made.
        skipped_steps: Steps left out because a loss or gradient was not finite.
        parameters: Number of parameters by part.
        seconds: Time of training and evaluation, pauses between resumes left out.
        selection: What the checkpoint was chosen by.
        versions: Of the software.
    """

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    metrics: dict[str, Number]
    validation: dict[str, Number]
    losses: dict[str, Number]
    weights: dict[str, Number]
    epoch: int
    steps: int
    skipped_steps: int
    parameters: dict[str, int]
    seconds: float
    selection: str
    versions: dict[str, str]

    def write(self, directory: Path) -> None:
        """Write it into the run's directory, in one move."""
        write_json(directory / RESULT, self.model_dump(mode="json"))


def read_result(directory: Path) -> RunResult | None:
    """The result of the run in a directory, or none if it is not finished (or its file is damaged)."""
    try:
        return RunResult.model_validate(json.loads((directory / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None

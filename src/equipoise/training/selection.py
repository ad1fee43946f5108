"""The choice of the best checkpoint of a run, and the result of a finished run."""

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

FALLBACK = "mean relative loss"
"""The criterion for several tasks if there are no single-task results."""
RESULT = "result.json"
"""File in the directory of a finished run."""

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number in JSON. A number that is not finite is written as null and read as NaN."""


def main_metrics(tasks: Mapping[str, Task]) -> dict[str, bool]:
    """Return the metrics that delta_m compares, as `task.metric`, and whether a higher value is better.

    See `Task.compared`.
    """
    return {f"{name}.{metric}": higher for name, task in tasks.items() for metric, higher in task.compared.items()}


def comparable(single: Mapping[str, float], directions: Mapping[str, bool]) -> bool:
    """Return whether delta_m can be computed: every single-task result is there, finite and above 0.

    Args:
        single: Single-task results by `task.metric`.
        directions: The metrics to compare, see `main_metrics`.
    """
    return all(math.isfinite(single.get(key, math.nan)) and single[key] > 0 for key in directions)


@dataclass
class Selection:
    """Scores evaluations. The evaluation with the highest score is the best.

    - Several tasks with single-task results: the score is delta_m as in the tables of a study (Guo et al. (2025),
      equation 5; Gama & Grassi (2025), section 5).
    - Several tasks without: the score is minus the mean over tasks of the loss divided by that of the first evaluation.
    - One task: the score is its main metric. If the task is compared by further metrics, each has a best evaluation of
      its own (Gama & Grassi (2025), section 4).

    Attributes:
        tasks: The tasks of the network.
        single: Main metrics of single-task networks on the same split; none if they are missing or not comparable.
        first_losses: The losses of the first evaluation, kept between calls.
    """

    tasks: Mapping[str, Task]
    single: Mapping[str, float] | None
    first_losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.single is not None and not comparable(self.single, main_metrics(self.tasks)):
            self.single = None

    @property
    def criterion(self) -> str:
        """The name of the score. Scores with different criteria cannot be compared."""
        if len(self.tasks) == 1:
            return ", ".join(main_metrics(self.tasks))
        return "delta_m" if self.single is not None else FALLBACK

    @property
    def further(self) -> tuple[str, ...]:
        """The further metrics of a single-task network, each with a best evaluation of its own."""
        return tuple(main_metrics(self.tasks))[1:] if len(self.tasks) == 1 else ()

    def score(self, evaluation: Evaluation) -> float:
        """Return the score of an evaluation; minus infinity if a value is not finite, as of a diverged network."""
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
        """Return the score by one metric: its value, or minus its value if lower is better.

        Args:
            metric: The metric as `task.metric`.
            metrics: Values by `task.metric`; minus infinity is returned if the metric is missing or not finite.
        """
        value = metrics.get(metric, math.nan)
        if not math.isfinite(value):
            return -math.inf
        return value if main_metrics(self.tasks)[metric] else -value


class RunResult(BaseModel):
    """The outcome of a run. `result.json` is written last, so that a run with this file is finished.

    Attributes:
        config: The configuration of the run.
        metrics: By `task.metric`, of the best checkpoint on the test split; NaN (null in the file) if one is undefined.
            If a single-task network is compared by several metrics, each comes from the best checkpoint by that metric.
        validation: The same on the split that the checkpoint was chosen on.
        losses: Mean loss by task on that split.
        weights: Loss weight by task, the mean over all steps in which the task had labels.
        epoch: The epoch of the best checkpoint, counted from 1.
        steps: Training steps made.
        skipped_steps: Steps skipped because a loss or gradient was not finite.
        parameters: Number of parameters: `shared`, and by task.
        seconds: Time of training and evaluation, without pauses between interruptions.
        selection: The criterion that the checkpoint was chosen by, see `Selection.criterion`.
        versions: Versions of the software.
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
        """Write `result.json` into the directory of the run."""
        write_json(directory / RESULT, self.model_dump(mode="json"))


def read_result(directory: Path) -> RunResult | None:
    """Return the result of the run in a directory; none if it is not finished or the file is damaged."""
    try:
        return RunResult.model_validate(json.loads((directory / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None

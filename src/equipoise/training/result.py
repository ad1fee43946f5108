"""What a finished run leaves behind."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from equipoise.config import RunConfig
from equipoise.training.files import Number, write_json

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

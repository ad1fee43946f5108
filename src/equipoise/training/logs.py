"""The log of a run (`metrics.jsonl` and TensorBoard), and its status while it trains."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from equipoise._core.files import json_safe, write_text
from equipoise.training.session import Session

LOG = "metrics.jsonl"
"""File in the directory of a run: one JSON object a line."""


class Log:
    """Writes the log of one run.

    Args:
        directory: The directory of the run.
        epoch: Epochs in the last checkpoint. Lines that an interrupted run logged after it are dropped.
        step: Training steps in the last checkpoint.
    """

    def __init__(self, directory: Path, epoch: int, step: int) -> None:
        path = directory / LOG
        earlier = [line for line in read_log(directory) if line["epoch"] <= epoch]
        write_text(path, "".join(map(_as_text, earlier)))
        self._lines = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1)

    def write(self, epoch: int, step: int, split: str, **groups: Mapping[str, float]) -> None:
        """Log numbers after an epoch.

        Args:
            epoch: The epoch, counted from 1.
            step: Training steps made so far.
            split: The split that the numbers belong to.
            groups: Groups of numbers by name, such as `loss={"seg": 0.3}`.
        """
        self._lines.write(_as_text({"epoch": epoch, "step": step, "split": split, **groups}))
        self._lines.flush()
        # The checkpoint is synchronised with the disk, too. It must not hold epochs that the log has lost.
        os.fsync(self._lines.fileno())
        for group, values in groups.items():
            for name, value in values.items():
                self._board.add_scalar(f"{split}/{group}/{name}", value, step)

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._board.close()


def read_log(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log. A last line that a kill cut short is left out.

    Args:
        directory: The directory of the run.
    """
    path = directory / LOG
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _as_text(line: Mapping[str, Any]) -> str:
    return json.dumps(json_safe(line)) + "\n"


@dataclass(frozen=True)
class EpochEnd:
    """The state of a run after an epoch. It is reported once the checkpoint is written.

    Attributes:
        epoch: The epoch, counted from 1.
        seconds: Time of training and evaluation so far.
        score: The score of this epoch's evaluation, see `Selection`; none if the epoch was not evaluated.
    """

    epoch: int
    seconds: float
    score: float | None


@dataclass(frozen=True)
class Status:
    """The progress of a run. A unit of work is one batch, trained or evaluated.

    Attributes:
        done: Units of work done.
        total: All units of work.
        doing: The current activity, in words.
        reached: The state after an epoch, if one has just ended.
    """

    done: int
    total: int
    doing: str
    reached: EpochEnd | None = None


class Abandoned(Exception):
    """Raised by `watch` to end a run early. The run keeps its checkpoint and has no result."""


class ProgressMeter:
    """Counts batches, trained or evaluated, and reports the status of the run.

    Args:
        watch: Called with every status.
        session: The session of the run.
        epochs: The number of epochs.
        evaluations: The epochs that end with an evaluation.
        done: The number of epochs done already.
        tests: The number of passes over the test split at the end.

    Attributes:
        doing: The current activity, in words.
    """

    def __init__(
        self,
        watch: Callable[[Status], None],
        session: Session,
        epochs: int,
        evaluations: list[int],
        done: int,
        tests: int,
    ) -> None:
        steps, evaluated = len(session.train_loader), len(session.chosen_on.loader)
        tested = 0 if session.chosen_on.split == "test" else tests * len(session.test.loader)
        self._watch = watch
        self._done = done * steps + sum(epoch <= done for epoch in evaluations) * evaluated
        self._total = epochs * steps + len(evaluations) * evaluated + tested
        self.doing = "starting"
        self.report()

    def __call__(self) -> None:
        """Count a batch and report the status."""
        self._done += 1
        self.report()

    def report(self, reached: EpochEnd | None = None) -> None:
        """Report the status.

        Args:
            reached: The state after an epoch, if one has just ended.
        """
        self._watch(Status(self._done, self._total, self.doing, reached))

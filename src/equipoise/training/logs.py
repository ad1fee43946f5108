"""What a run writes while it trains: `metrics.jsonl`, one JSON object a line, and the same for TensorBoard."""

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


class Log:
    """The logs of one run.

    Args:
        directory: Of the run.
        epoch: Epochs already trained: what an interrupted run logged after its last checkpoint is dropped.
        step: Steps already trained.
    """

    def __init__(self, directory: Path, epoch: int, step: int) -> None:
        path = directory / LOG
        kept = [line for line in read_log(directory) if line["epoch"] <= epoch]
        write_text(path, "".join(map(_as_text, kept)))
        self._lines = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1)

    def write(self, epoch: int, step: int, split: str, **groups: Mapping[str, float]) -> None:
        """Log groups of numbers, such as losses by task, of a split after an epoch."""
        self._lines.write(_as_text({"epoch": epoch, "step": step, "split": split, **groups}))
        self._lines.flush()
        # A checkpoint, which goes to the disk too, must not know of epochs that the log has lost.
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


def _as_text(line: Mapping[str, Any]) -> str:
    return json.dumps(json_safe(line)) + "\n"


def read_log(directory: Path) -> list[dict[str, Any]]:
    """The lines that a run has logged; a last line cut short by a kill is left out."""
    path = directory / LOG
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


@dataclass(frozen=True)
class Status:
    """How far a run is, for whoever watches: units of work (batches trained or evaluated) and what is going on.

    Attributes:
        done: Units of work that are done.
        total: All of them.
        doing: What is going on, for people.
        reached: After an epoch, what the run has reached.
    """

    done: int
    total: int
    doing: str
    reached: "EpochEnd | None" = None


@dataclass(frozen=True)
class EpochEnd:
    """What a run has reached after an epoch; told when its checkpoint is written.

    Attributes:
        epoch: The epoch, counted from 1.
        seconds: Time of training and evaluation so far.
        score: Of this epoch's evaluation, see `Selection`; none if it was not evaluated.
    """

    epoch: int
    seconds: float
    score: float | None


class Abandoned(Exception):
    """Raised by whoever watches a run to end it before its time: it keeps its checkpoint and has no result."""


class ProgressMeter:
    """Counts batches, trained or measured, and tells whoever watches.

    Args:
        watch: Is told.
        session: Of the run.
        epochs: How many it has.
        evaluations: After which of them it is evaluated.
        done: How many of them are done already.
        tests: How often it is tested at the end.

    Attributes:
        doing: What is going on, for people.
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
        steps, measured = len(session.train_loader), len(session.chosen_on.loader)
        tested = 0 if session.chosen_on.split == "test" else tests * len(session.test.loader)
        self._watch = watch
        self._done = done * steps + sum(epoch <= done for epoch in evaluations) * measured
        self._total = epochs * steps + len(evaluations) * measured + tested
        self.doing = "starting"
        self.tell()

    def __call__(self) -> None:
        """Count a batch."""
        self._done += 1
        self.tell()

    def tell(self, reached: EpochEnd | None = None) -> None:
        """Tell how far the run is, and what it has reached where an epoch has ended."""
        self._watch(Status(self._done, self._total, self.doing, reached))

"""What a run writes while it trains: `metrics.jsonl`, one JSON object a line, and the same for TensorBoard."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from equipoise.training.files import strict, write_text

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
    return json.dumps(strict(line)) + "\n"


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

"""Progress of a run on another machine, through a file on the storage that both share."""

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from equipoise.training import Abandoned, Reached, Status

_INTERVAL = 0.5
"""Seconds between two messages, where they say no more than how far a run is."""


class Sender:
    """The end of the run: appends a line to the file for every message.

    Args:
        path: The file. It is there as long as somebody wants the run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent = -math.inf

    def __call__(self, status: Status) -> None:
        """Tell how far the run is.

        Raises:
            Abandoned: Nobody wants the run any more.
        """
        now = time.monotonic()
        if status.reached is None and now - self._sent < _INTERVAL:
            return
        self._sent = now
        line = (json.dumps(asdict(status)) + "\n").encode()
        try:
            # Never made anew: a file that is gone says that the run is to end. Closed at once, so that network file
            # systems hand it over.
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            raise Abandoned from None
        try:
            os.write(file, line)
        finally:
            os.close(file)


class Receiver:
    """The end of the study.

    Args:
        path: The file; made here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        path.touch()

    def new(self) -> Sequence[Status]:
        """What has come since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            # What is still being written has no end of line.
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [_status(line) for line in whole.splitlines()]

    def close(self) -> None:
        """Receive nothing more; the run is to end, if it has not."""
        self.path.unlink(missing_ok=True)


def _status(line: bytes) -> Status:
    content = json.loads(line)
    reached = content.pop("reached")
    return Status(**content, reached=None if reached is None else Reached(**reached))

"""Runs on machines that others look after: what the executors for clusters have in common.

The directory of studies is on storage that all machines share. A run goes there as its resolved configuration, leaves
its results in its directory, and tells how far it is through a file.
"""

import json
import math
import os
import platform
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree

import torch

from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.studies.run.executors import Event, Watch, Workers
from equipoise.studies.run.runner import make_run, write_failure
from equipoise.training import Abandoned, EpochEnd, Status, read_result

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
    return Status(**content, reached=None if reached is None else EpochEnd(**reached))


_PAUSE = 0.5
"""Seconds between two looks at all runs."""

_FAREWELL = 10.0
"""Seconds that jobs which are cancelled may take to end, before they are left to the cluster."""

_PATIENCE = 60.0
"""Seconds that network storage may take to show here what was written elsewhere."""

_WAITING = Status(0, 0, "waiting for a worker")

Work = Callable[[], str | None]
"""To be called on a worker: makes a run; returns why it failed, or none. Can be pickled."""


class LostError(Exception):
    """A job ended before its run did."""


class Job(ABC):
    """A run in the hands of a cluster."""

    @abstractmethod
    def ended(self) -> bool:
        """Whether it has come to an end, well or not. Asked often."""

    @abstractmethod
    def outcome(self) -> str | None:
        """What its work returned; asked once, when it has ended.

        Raises:
            LostError: It returned nothing.
        """

    @abstractmethod
    def cancel(self) -> None:
        """End it soon, or see that it does not begin."""


Submit = Callable[[PlannedRun, Work], Job]
"""Hands a run over to a cluster."""


@dataclass(frozen=True)
class _Posted:
    run: PlannedRun
    job: Job
    mail: Receiver


class Remote(Workers):
    """Hands runs over to a cluster and watches what becomes of them.

    Args:
        root: The directory that all studies share.
        threads: How many threads PyTorch may use for each run.
        submit: Hands a run over.
    """

    def __init__(self, root: Path, threads: int, submit: Submit) -> None:
        self._root, self._threads, self._submit = root.absolute(), threads, submit
        self._root.mkdir(parents=True, exist_ok=True)
        self._mail = Path(tempfile.mkdtemp(prefix=".progress-", dir=self._root))
        self._posted: list[_Posted] = []
        self._cancelled: list[Job] = []
        self._begun: set[str] = set()

    def start(self, run: PlannedRun) -> None:
        """Hand a run over."""
        mail = Receiver(self._mail / f"{run.key}.jsonl")
        job = self._submit(run, partial(work, run, self._root, mail.path, self._threads))
        self._posted.append(_Posted(run, job, mail))

    def wait(self, watch: Watch) -> Sequence[Event]:
        """Look at all runs until one has ended."""
        while True:
            ends = {posted.run.key: end for posted in self._posted if (end := self._look(posted, watch)) is not None}
            if ends:
                self._posted = [posted for posted in self._posted if posted.run.key not in ends]
                return list(ends.values())
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Cancel what is going on."""
        for posted in self._posted:
            self._cancel(posted)
        rmtree(self._mail, ignore_errors=True)
        until = time.monotonic() + _FAREWELL
        while not all(job.ended() for job in self._cancelled) and time.monotonic() < until:
            time.sleep(_PAUSE)

    def _cancel(self, posted: _Posted) -> None:
        posted.mail.close()
        posted.job.cancel()
        self._cancelled.append(posted.job)

    def _look(self, posted: _Posted, watch: Watch) -> Event | None:
        # Before the mail is read, so that none is left in the box of a run that has ended.
        ended = posted.job.ended()
        run, news = posted.run, posted.mail.new()
        if news:
            self._begun.add(run.key)
        elif run.key not in self._begun and not ended:
            news = [_WAITING]
        try:
            for status in news:
                watch(Event(run, status))
        except Abandoned:
            self._cancel(posted)
            return Event(run, ended=True, abandoned=True)
        if not ended:
            return None
        posted.mail.close()
        return Event(run, ended=True, error=self._error(posted))

    def _error(self, posted: _Posted) -> str | None:
        try:
            error = posted.job.outcome()
        except LostError as lost:
            error = str(lost)
            write_failure(posted.run, self._root, error)
            return error
        directory, until = posted.run.directory(self._root), time.monotonic() + _PATIENCE
        while error is None and read_result(directory) is None:
            if time.monotonic() > until:
                return f"it has ended, but no result has appeared in {directory}: is this storage that is shared?"
            time.sleep(1)
        return error


def work(run: PlannedRun, root: Path, mail: Path, threads: int) -> str | None:
    """Make a run on a worker.

    Args:
        run: The run.
        root: The directory that all studies share.
        mail: Where to tell how far it is.
        threads: How many threads PyTorch may use.

    Returns:
        Why it failed, or none.

    Raises:
        FileNotFoundError: The directory is another one here, or the study is gone.
    """
    if not mail.exists():
        raise FileNotFoundError(
            f"{root} on {platform.node()} is not the directory of the study: `--output` should be on storage that all "
            "machines share, at the same place"
        )
    torch.set_num_threads(threads)
    try:
        return make_run(run, root, Sender(mail))
    except Abandoned:
        # Nobody listens any more.
        return None


def may_use_gpu(run: PlannedRun) -> bool:
    """Whether a run uses a GPU where there is one."""
    return run.config.training.accelerator in ("auto", "cuda")

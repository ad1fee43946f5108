"""Runs on machines of a cluster: the common part of the executors for clusters.

The directory of studies is on storage that all machines share. A run goes to a worker as its configuration, leaves its
results in its directory, and reports its progress through a file.
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
from equipoise.training import Abandoned, EpochEnd, Status

_REPORT_INTERVAL = 0.5
"""Seconds between two progress reports of a run, except for those at the end of an epoch."""

_POLL_INTERVAL = 0.5
"""Seconds between two looks at all runs."""

_CANCEL_TIMEOUT = 10.0
"""Seconds that cancelled jobs may take to end, before they are left to the cluster."""

_STORAGE_TIMEOUT = 60.0
"""Seconds that network storage may take to show here what was written elsewhere."""

_WAITING = Status(0, 0, "waiting for a worker")

Work = Callable[[], str | None]
"""Call it on a worker: it makes a run, and returns why the run failed, or none. It can be pickled."""


class LostError(Exception):
    """A job ended before its run did."""


class Job(ABC):
    """A run that a cluster has taken over."""

    @abstractmethod
    def ended(self) -> bool:
        """Whether the job has ended, well or not. Asked often."""

    @abstractmethod
    def outcome(self) -> str | None:
        """Return what the work returned. Asked once, when the job has ended.

        Raises:
            LostError: The work returned nothing.
        """

    @abstractmethod
    def cancel(self) -> None:
        """End the job soon, or keep it from beginning."""


Submit = Callable[[PlannedRun, Work], Job]
"""Submits a run to a cluster."""


class Remote(Workers):
    """Submits runs to a cluster and watches them.

    Args:
        root: The directory that all studies share.
        threads: Number of threads that PyTorch may use for each run.
        submit: Submits a run.
    """

    def __init__(self, root: Path, threads: int, submit: Submit) -> None:
        self._root, self._threads, self._submit = root.absolute(), threads, submit
        self._root.mkdir(parents=True, exist_ok=True)
        self._progress = Path(tempfile.mkdtemp(prefix=".progress-", dir=self._root))
        self._submitted: list[_Submitted] = []
        self._cancelled: list[Job] = []
        self._begun: set[str] = set()

    def start(self, run: PlannedRun) -> None:
        """Submit a run."""
        progress = ProgressReader(self._progress / f"{run.key}.jsonl")
        job = self._submit(run, partial(work, run, self._root, progress.path, self._threads))
        self._submitted.append(_Submitted(run, job, progress))

    def wait(self, watch: Watch) -> Sequence[Event]:
        """Look at all runs until one has ended."""
        while True:
            events = ((one.run.key, self._look(one, watch)) for one in self._submitted)
            ends = {key: end for key, end in events if end is not None}
            if ends:
                self._submitted = [one for one in self._submitted if one.run.key not in ends]
                return list(ends.values())
            time.sleep(_POLL_INTERVAL)

    def close(self) -> None:
        """Cancel the runs that have not ended."""
        for one in self._submitted:
            self._cancel(one)
        rmtree(self._progress, ignore_errors=True)
        until = time.monotonic() + _CANCEL_TIMEOUT
        while not all(job.ended() for job in self._cancelled) and time.monotonic() < until:
            time.sleep(_POLL_INTERVAL)

    def _cancel(self, submitted: "_Submitted") -> None:
        submitted.progress.close()
        submitted.job.cancel()
        self._cancelled.append(submitted.job)

    def _look(self, submitted: "_Submitted", watch: Watch) -> Event | None:
        """Report the progress of a run; return its end if it has ended."""
        # Asked before the file is read, so that no report of an ended run is missed.
        ended = submitted.job.ended()
        run, reports = submitted.run, submitted.progress.read()
        if reports:
            self._begun.add(run.key)
        elif run.key not in self._begun and not ended:
            reports = [_WAITING]
        try:
            for status in reports:
                watch(Event(run, status))
        except Abandoned:
            self._cancel(submitted)
            return Event(run, ended=True, abandoned=True)
        if not ended:
            return None
        submitted.progress.close()
        return Event(run, ended=True, error=self._error(submitted))

    def _error(self, submitted: "_Submitted") -> str | None:
        run = submitted.run
        try:
            error = submitted.job.outcome()
        except LostError as lost:
            error = str(lost)
            write_failure(run, self._root, error)
            return error
        until = time.monotonic() + _STORAGE_TIMEOUT
        while error is None and run.result(self._root) is None:
            if time.monotonic() > until:
                directory = run.directory(self._root)
                return f"it has ended, but no result has appeared in {directory}: is this storage that is shared?"
            time.sleep(1)
        return error


def work(run: PlannedRun, root: Path, progress: Path, threads: int) -> str | None:
    """Make a run on a worker.

    Args:
        run: The run.
        root: The directory that all studies share.
        progress: The progress file.
        threads: Number of threads that PyTorch may use.

    Returns:
        Why the run failed; none if it did not.

    Raises:
        FileNotFoundError: The directory is another one on this machine, or the study has ended.
    """
    if not progress.exists():
        raise FileNotFoundError(
            f"{root} on {platform.node()} is not the directory of the study: `--output` should be on storage that all "
            "machines share, at the same place"
        )
    torch.set_num_threads(threads)
    try:
        return make_run(run, root, ProgressWriter(progress))
    except Abandoned:
        # The study has ended, or has abandoned the run.
        return None


class ProgressWriter:
    """Appends the progress of a run to its progress file, one line a report.

    Args:
        path: The file. It exists as long as the run is wanted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = -math.inf

    def __call__(self, status: Status) -> None:
        """Report the progress of the run.

        Raises:
            Abandoned: The run is not wanted any more.
        """
        now = time.monotonic()
        if status.reached is None and now - self._written < _REPORT_INTERVAL:
            return
        self._written = now
        line = (json.dumps(asdict(status)) + "\n").encode()
        try:
            # The file is never created here: if it is gone, the run is to end. It is closed at once, so that network
            # file systems show the line.
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            raise Abandoned from None
        try:
            os.write(file, line)
        finally:
            os.close(file)


class ProgressReader:
    """Reads the progress file of a run.

    Args:
        path: The file; it is created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        path.touch()

    def read(self) -> Sequence[Status]:
        """Return the reports since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            # A line that is still being written has no end.
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [_status(line) for line in whole.splitlines()]

    def close(self) -> None:
        """Remove the file, so that the run ends if it has not."""
        self.path.unlink(missing_ok=True)


def _status(line: bytes) -> Status:
    content = json.loads(line)
    reached = content.pop("reached")
    return Status(**content, reached=None if reached is None else EpochEnd(**reached))


@dataclass(frozen=True)
class _Submitted:
    run: PlannedRun
    job: Job
    progress: ProgressReader


def may_use_gpu(run: PlannedRun) -> bool:
    """Whether a run uses a GPU if there is one."""
    return run.config.training.accelerator in ("auto", "cuda")

"""Running what a study has planned, one run after another or several at a time."""

import multiprocessing
import multiprocessing.connection
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from equipoise.studies.matrix import FAILURE, PlannedRun, run_directory
from equipoise.training import Abandoned, Status, read_result, train
from equipoise.training.files import write_json
from equipoise.training.selection import main_metrics


@dataclass(frozen=True)
class Event:
    """Something to show: a run's progress, its end, or the error it ended with.

    Attributes:
        run: The run.
        status: How far it is.
        ended: Whether this was the end of it.
        error: Why it failed.
        abandoned: Whether it ended because the one who watches wanted so.
    """

    run: PlannedRun
    status: Status | None = None
    ended: bool = False
    error: str | None = None
    abandoned: bool = False


Watch = Callable[[Event], None]


def execute(
    planned: Sequence[PlannedRun],
    root: Path,
    *,
    jobs: int = 1,
    watch: Watch = lambda event: None,
    more: Callable[[], Sequence[PlannedRun]] = tuple,
) -> None:
    """Bring every run to its end; finished ones are left as they are.

    A run that fails leaves `failure.json` in its directory, and the others go on. Two processes never make the same run
    at the same time: the second waits for the first and takes its result.

    Args:
        planned: The runs, each after those it needs.
        root: The directory that all studies share.
        jobs: Runs at a time. One runs in this process; more run in processes of their own, which share the cores.
        watch: Told what happens. Where it raises `Abandoned` on the progress of a run, that run is ended without a
            result and without a failure, and the others go on.
        more: Called when a run has ended: runs that are known now, besides those that were known before.
    """
    queue = _Queue(unfinished_runs(planned, root), {run.key for run in planned}, root, more)
    if jobs > 1:
        _in_processes(queue, root, jobs, watch)
        return
    while queue.waiting:
        run = queue.waiting.pop(0)
        try:
            error = _make(run, root, lambda status, run=run: watch(Event(run, status)))
        except Abandoned:
            ended = Event(run, ended=True, abandoned=True)
        else:
            ended = Event(run, ended=True, error=error)
        queue.grow()
        watch(ended)


@dataclass
class _Queue:
    """Runs that wait to be made; each is queued once, also where it failed."""

    waiting: list[PlannedRun]
    known: set[str]
    root: Path
    more: Callable[[], Sequence[PlannedRun]]

    def grow(self) -> None:
        """Queue the runs that have become known; those that were known before are not looked at again."""
        new = [run for run in self.more() if run.key not in self.known]
        self.known.update(run.key for run in new)
        self.waiting += unfinished_runs(new, self.root)


def unfinished_runs(planned: Sequence[PlannedRun], root: Path) -> list[PlannedRun]:
    """Those of the planned runs that have no result yet; one that two variants share is there once."""
    distinct = {run.key: run for run in reversed(planned)}
    return [run for run in planned if distinct[run.key] is run and read_result(run.directory(root)) is None]


def _make(run: PlannedRun, root: Path, watch: Callable[[Status], None]) -> str | None:
    """Make one run in this process; return why it failed, or none."""
    directory = run.directory(root)
    directory.mkdir(parents=True, exist_ok=True)
    # The lock is the operating system's: it goes with the process, however that ends.
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        watch(Status(0, 0, "waiting for another process that is making it"))
        lock.acquire()
    try:
        (directory / FAILURE).unlink(missing_ok=True)
        train(
            run.config,
            directory,
            single=_single_metrics(run, root),
            teachers=_single_directories(run, root),
            watch=watch,
        )
    except Abandoned:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        write_json(directory / FAILURE, {"error": why, "traceback": traceback.format_exc()})
        return why
    finally:
        lock.release()
    return None


def _single_metrics(run: PlannedRun, root: Path) -> dict[str, float] | None:
    """The main metrics of the single-task networks on the split that checkpoints are chosen on, if all are there."""
    found: dict[str, float] = {}
    for key in run.needs:
        if (result := read_result(run_directory(root, key))) is not None:
            found |= result.validation
    directions = main_metrics(run.config.data.tasks(run.config.tasks))
    return {key: found[key] for key in directions} if all(key in found for key in directions) else None


def _single_directories(run: PlannedRun, root: Path) -> dict[str, Path]:
    """Where the finished single-task networks that the run is compared with are, by task."""
    directories = [run_directory(root, key) for key in run.needs]
    return {result.config.tasks[0]: found for found in directories if (result := read_result(found)) is not None}


def _in_processes(queue: _Queue, root: Path, jobs: int, watch: Watch) -> None:
    waiting = queue.waiting
    running: dict[Connection, tuple[PlannedRun, BaseProcess]] = {}
    try:
        while waiting or running:
            pending = {run.key for run in waiting} | {run.key for run, _ in running.values()}
            ready = [run for run in waiting if pending.isdisjoint(run.needs)]
            for run in ready[: jobs - len(running)]:
                waiting.remove(run)
                connection, process = _start(run, root, jobs)
                running[connection] = run, process
            for connection in multiprocessing.connection.wait(list(running)):
                assert isinstance(connection, Connection)
                run, process = running[connection]
                try:
                    event = connection.recv()
                except EOFError:
                    process.join()
                    event = Event(run, ended=True, error=_note_death(run, root, process.exitcode))
                if not event.ended:
                    try:
                        watch(event)
                        continue
                    except Abandoned:
                        # It is at any place; its last checkpoint is whole.
                        process.terminate()
                        event = Event(run, ended=True, abandoned=True)
                del running[connection]
                process.join()
                queue.grow()
                watch(event)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _start(run: PlannedRun, root: Path, jobs: int) -> tuple[Connection, BaseProcess]:
    # "spawn": a forked process would share the threads, locks and devices that this one has loaded.
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    threads = max(1, torch.get_num_threads() // jobs)
    process = context.Process(target=_child, args=(run, root, threads, sending), daemon=True)
    process.start()
    sending.close()
    return receiving, process


def _child(run: PlannedRun, root: Path, threads: int, sending: Connection) -> None:
    # Ctrl-C reaches the whole group of processes; the parent decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)

    def tell(event: Event) -> None:
        try:
            sending.send(event)
        except OSError:
            # The parent is gone. This is no failure of the run: it goes on from its last checkpoint another time.
            raise SystemExit(1) from None

    error = _make(run, root, lambda status: tell(Event(run, status)))
    tell(Event(run, ended=True, error=error))


def _note_death(run: PlannedRun, root: Path, code: int | None) -> str:
    how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    error = f"its process ended with {how}"
    write_json(run.directory(root) / FAILURE, {"error": error})
    return error

"""Runs on this machine, in this process or in processes of their own."""

import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from equipoise._core.registry import register
from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.studies.run.executors import Event, Executor, Watch, Workers
from equipoise.studies.run.runner import make_run, write_failure
from equipoise.training import Abandoned


@register("local")
class Local(Executor):
    """Make one run at a time in this process, or several in processes of their own that share the cores."""

    def open(self, root: Path, jobs: int) -> Workers:
        """Return workers on this machine."""
        return _Processes(root, jobs) if jobs > 1 else _ThisProcess(root)


class _ThisProcess(Workers):
    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: list[PlannedRun] = []

    def start(self, run: PlannedRun) -> None:
        self._started.append(run)

    def wait(self, watch: Watch) -> Sequence[Event]:
        run = self._started.pop(0)
        try:
            error = make_run(run, self._root, lambda status: watch(Event(run, status)))
        except Abandoned:
            return [Event(run, ended=True, abandoned=True)]
        return [Event(run, ended=True, error=error)]

    def close(self) -> None:
        self._started.clear()


class _Processes(Workers):
    def __init__(self, root: Path, jobs: int) -> None:
        self._root = root
        self._threads = max(1, torch.get_num_threads() // jobs)
        self._running: dict[Connection, tuple[PlannedRun, BaseProcess]] = {}

    def start(self, run: PlannedRun) -> None:
        # "spawn": a forked process would share the threads, locks and devices of this one.
        context = multiprocessing.get_context("spawn")
        receiving, sending = context.Pipe(duplex=False)
        # Not a daemon, which could not start processes that load its data. If this process ends, the child ends with
        # its next report.
        process = context.Process(target=_make_in_child, args=(run, self._root, self._threads, sending))
        process.start()
        sending.close()
        self._running[receiving] = run, process

    def wait(self, watch: Watch) -> Sequence[Event]:
        while True:
            ready = multiprocessing.connection.wait(list(self._running))
            if ends := [end for connection in ready if (end := self._receive(connection, watch)) is not None]:
                return ends

    def close(self) -> None:
        for _, process in self._running.values():
            process.terminate()
            process.join()

    def _receive(self, connection: object, watch: Watch) -> Event | None:
        """Pass on an event of a child; return it if the run has ended."""
        assert isinstance(connection, Connection)
        run, process = self._running[connection]
        try:
            event = connection.recv()
        except EOFError:
            process.join()
            event = Event(run, ended=True, error=f"its process ended with {_exit_reason(process.exitcode)}")
            write_failure(run, self._root, str(event.error))
        if not event.ended:
            try:
                watch(event)
            except Abandoned:
                # The child may be anywhere in the run; its last checkpoint is complete.
                process.terminate()
                event = Event(run, ended=True, abandoned=True)
            else:
                return None
        del self._running[connection]
        process.join()
        return event


def _make_in_child(run: PlannedRun, root: Path, threads: int, sending: Connection) -> None:
    # Ctrl-C reaches the whole group of processes. The parent decides whether this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)

    def send(event: Event) -> None:
        try:
            sending.send(event)
        except OSError:
            # The parent has ended. The run has not failed: it goes on from its last checkpoint another time.
            raise SystemExit(1) from None

    error = make_run(run, root, lambda status: send(Event(run, status)))
    send(Event(run, ended=True, error=error))


def _exit_reason(code: int | None) -> str:
    return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"

"""Running what a study has planned, one run after another or several at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from equipoise.studies.plan.matrix import PlannedRun
from equipoise.studies.run import executors
from equipoise.studies.run.executors import Executor, Watch
from equipoise.studies.run.runner import is_provisional
from equipoise.training import read_result


def execute(
    planned: Sequence[PlannedRun],
    root: Path,
    *,
    jobs: int = 1,
    watch: Watch = lambda event: None,
    more: Callable[[], Sequence[PlannedRun]] = tuple,
    executor: Executor | None = None,
) -> None:
    """Bring every run to its end; finished ones are left as they are.

    A run that fails leaves `failure.json` in its directory, and the others go on. Two processes never make the same run
    at the same time: the second waits for the first and takes its result.

    Args:
        planned: The runs, each after those it needs.
        root: The directory that all studies share.
        jobs: Runs at a time.
        watch: Told what happens. Where it raises `Abandoned` on the progress of a run, that run is ended without a
            result and without a failure, and the others go on.
        more: Called when a run has ended: runs that are known now, besides those that were known before.
        executor: Makes the runs, see `equipoise.studies.run.executors`; on this machine if left out.
    """
    queue = _Queue(unfinished_runs(planned, root), {run.key: run for run in planned}, root, more)
    if not queue.waiting:
        return
    running: dict[str, PlannedRun] = {}
    with (executor or executors.create("local")).open(root, jobs) as workers:
        while queue.waiting or running:
            for run in queue.ready(running)[: jobs - len(running)]:
                queue.waiting.remove(run)
                workers.start(run)
                running[run.key] = run
            for end in workers.wait(watch):
                del running[end.run.key]
                queue.grow(end.run)
                watch(end)


@dataclass
class _Queue:
    """Runs that wait to be made; each is queued once, also where it failed."""

    waiting: list[PlannedRun]
    known: dict[str, PlannedRun]
    root: Path
    more: Callable[[], Sequence[PlannedRun]]

    def ready(self, running: Mapping[str, PlannedRun]) -> list[PlannedRun]:
        """Those that wait for no other run."""
        pending = {run.key for run in self.waiting} | running.keys()
        return [run for run in self.waiting if pending.isdisjoint(run.needs)]

    def grow(self, ended: PlannedRun) -> None:
        """Queue what is to be made now that a run has ended: runs that it makes known, and provisional ones.

        Runs that were known before are not looked at again otherwise, also where they failed.
        """
        self.waiting += [
            run for run in self.known.values() if ended.key in run.needs and is_provisional(run, self.root)
        ]
        new = [run for run in self.more() if run.key not in self.known]
        self.known |= {run.key: run for run in new}
        self.waiting += unfinished_runs(new, self.root)


def unfinished_runs(planned: Sequence[PlannedRun], root: Path) -> list[PlannedRun]:
    """Those of the planned runs without a result, or with a provisional one; what two variants share is there once."""
    distinct = {run.key: run for run in reversed(planned)}
    return [
        run
        for run in planned
        if distinct[run.key] is run and (read_result(run.directory(root)) is None or is_provisional(run, root))
    ]

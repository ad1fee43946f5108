"""Executes the planned runs of a study, one after another or several at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.studies.run import executors
from equipoise.studies.run.executors import Executor, Watch
from equipoise.studies.run.runner import is_provisional


def execute(
    planned: Sequence[PlannedRun],
    root: Path,
    *,
    jobs: int = 1,
    watch: Watch = lambda event: None,
    more: Callable[[], Sequence[PlannedRun]] = tuple,
    executor: Executor | None = None,
) -> None:
    """Bring every run to its end. Finished runs are left as they are.

    A run that fails leaves `failure.json` in its directory, and the others go on. Two processes never make the same run
    at the same time: the second waits for the first and takes its result.

    Args:
        planned: The runs, each after those it needs.
        root: The directory that all studies share.
        jobs: Number of runs at a time.
        watch: Called with every event. If it raises `Abandoned` on the progress of a run, that run ends without a
            result and without a failure, and the others go on.
        more: Called when a run has ended; returns the runs that are known by then, including those known before.
        executor: Makes the runs, see `equipoise.studies.run.executors`; by default on this machine.

    Raises:
        ValueError: The data or the weights of a run were not there when it was planned.
    """
    queue = _Queue(unfinished_runs(planned, root), {run.key: run for run in planned}, root, more)
    _check_complete(queue.waiting)
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
    """Runs that wait to be made. Each is queued once, even if it fails."""

    waiting: list[PlannedRun]
    known: dict[str, PlannedRun]
    root: Path
    more: Callable[[], Sequence[PlannedRun]]

    def ready(self, running: Mapping[str, PlannedRun]) -> list[PlannedRun]:
        """Return the runs that wait for no other run."""
        pending = {run.key for run in self.waiting} | running.keys()
        return [run for run in self.waiting if pending.isdisjoint(run.needs)]

    def grow(self, ended: PlannedRun) -> None:
        """Queue the runs that become known, or provisional, now that a run has ended.

        Other runs that were known before are not queued again, even if they failed.
        """
        self.waiting += [
            run for run in self.known.values() if ended.key in run.needs and is_provisional(run, self.root)
        ]
        new = [run for run in self.more() if run.key not in self.known]
        _check_complete(new)
        self.known |= {run.key: run for run in new}
        self.waiting += unfinished_runs(new, self.root)


def _check_complete(runs: Sequence[PlannedRun]) -> None:
    for run in runs:
        if not run.is_complete:
            config = run.config
            raise ValueError(
                f"The data and the weights of the run {run.name} should be there when it is planned. Found "
                f"`data.root = {config.data.root!r}`, `model.pretrained = {config.model.pretrained!r}`: one of them is "
                "missing, or was made since. Call `prepare_data(recipe)`, and plan again."
            )


def unfinished_runs(planned: Sequence[PlannedRun], root: Path) -> list[PlannedRun]:
    """Return the planned runs without a result, or with a provisional one. Runs that variants share are there once."""
    distinct = {run.key: run for run in reversed(planned)}
    return [
        run for run in planned if distinct[run.key] is run and (run.result(root) is None or is_provisional(run, root))
    ]

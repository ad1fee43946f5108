"""Makes one run in this process: its lock, its single-task results, its training, its failure."""

import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from equipoise._core.files import write_json
from equipoise._core.imports import write_copies
from equipoise.studies.plan.planned_run import FAILURE, IMPORTS, PlannedRun, run_directory
from equipoise.training import Abandoned, Status, read_result, train
from equipoise.training.selection import FALLBACK, RESULT, Selection, main_metrics

_LOCK = ".lock"


def make_run(run: PlannedRun, root: Path, watch: Callable[[Status], None]) -> str | None:
    """Bring a run to its end. If another process is making it, wait for that and take its result.

    Args:
        run: The run.
        root: The directory that all studies share.
        watch: Called with the progress of the run; may raise `Abandoned`.

    Returns:
        Why the run failed, which is also written to `failure.json` in its directory; none if it did not.

    Raises:
        Abandoned: From `watch`.
    """
    directory = run.directory(root)
    directory.mkdir(parents=True, exist_ok=True)
    # The lock belongs to the operating system: it ends with the process, however that ends.
    lock = FileLock(directory / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        watch(Status(0, 0, "waiting for another process that is making it"))
        lock.acquire()
    try:
        (directory / FAILURE).unlink(missing_ok=True)
        if is_provisional(run, root):
            (directory / RESULT).unlink()
        write_copies(run.config.imports, directory / IMPORTS)
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


def is_locked(directory: Path) -> bool:
    """Whether a process is making the run in a directory."""
    try:
        with FileLock(directory / _LOCK, timeout=0):
            return False
    except Timeout:
        return True


def is_provisional(run: PlannedRun, root: Path) -> bool:
    """Whether a finished run chose its checkpoint without single-task networks that are finished by now."""
    result = run.result(root)
    if result is None or not run.needs or result.selection != FALLBACK:
        return False
    tasks = run.config.data.tasks(run.config.tasks)
    return Selection(tasks, _single_metrics(run, root)).criterion != FALLBACK


def write_failure(run: PlannedRun, root: Path, error: str) -> None:
    """Write down why a run failed whose process could not; not if another process is making the run, or has."""
    directory = run.directory(root)
    directory.mkdir(parents=True, exist_ok=True)
    with suppress(Timeout), FileLock(directory / _LOCK, timeout=0):
        if read_result(directory) is None:
            write_json(directory / FAILURE, {"error": error})


def _single_metrics(run: PlannedRun, root: Path) -> dict[str, float] | None:
    """Return the main metrics of the single-task networks on the split that checkpoints are chosen on; none if one is
    missing."""
    found: dict[str, float] = {}
    for key in run.needs:
        if (result := read_result(run_directory(root, key))) is not None:
            found |= result.validation
    directions = main_metrics(run.config.data.tasks(run.config.tasks))
    return {key: found[key] for key in directions} if all(key in found for key in directions) else None


def _single_directories(run: PlannedRun, root: Path) -> dict[str, Path]:
    """Return the directories of the finished single-task networks that the run is compared with, by task."""
    directories = [run_directory(root, key) for key in run.needs]
    return {result.config.tasks[0]: found for found in directories if (result := read_result(found)) is not None}

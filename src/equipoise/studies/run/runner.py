"""Making one run in this process, wherever that is."""

import json
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from equipoise._core.files import write_json
from equipoise.studies.plan.matrix import FAILURE, PlannedRun, run_directory
from equipoise.training import Abandoned, Status, read_result, train
from equipoise.training.selection import FALLBACK, RESULT, Selection, main_metrics

_LOCK = ".lock"


def make_run(run: PlannedRun, root: Path, watch: Callable[[Status], None]) -> str | None:
    """Bring a run to its end; where another process is making it, wait for that and take its result.

    Args:
        run: The run.
        root: The directory that all studies share.
        watch: Told how far it is; may raise `Abandoned`.

    Returns:
        Why it failed, which is also written to `failure.json` in its directory; or none.

    Raises:
        Abandoned: By `watch`.
    """
    directory = run.directory(root)
    directory.mkdir(parents=True, exist_ok=True)
    # The lock is the operating system's: it goes with the process, however that ends.
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


def is_provisional(run: PlannedRun, root: Path) -> bool:
    """Whether a finished run chose its checkpoint for want of single-task networks that are there by now."""
    result = read_result(run.directory(root))
    if result is None or not run.needs or result.selection != FALLBACK:
        return False
    tasks = run.config.data.tasks(run.config.tasks)
    return Selection(tasks, _single_metrics(run, root)).criterion != FALLBACK


def note_failure(run: PlannedRun, root: Path, error: str) -> None:
    """Write down why a run failed that could not do so itself; not where another process is making it, or has."""
    directory = run.directory(root)
    directory.mkdir(parents=True, exist_ok=True)
    with suppress(Timeout), FileLock(directory / _LOCK, timeout=0):
        if read_result(directory) is None:
            write_json(directory / FAILURE, {"error": error})


def read_failure(directory: Path) -> str | None:
    """Why the run in a directory failed; none if it did not (or its file is damaged, or has just been removed)."""
    try:
        return json.loads((directory / FAILURE).read_text(encoding="utf-8"))["error"]
    except (OSError, ValueError, KeyError):
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

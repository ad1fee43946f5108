"""Executors, which make the runs of a study somewhere; one file each.

An executor of your own derives from `Executor` and is registered by `equipoise.register`. Its options are the
keyword-only arguments of its class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from equipoise._core.options import option_types
from equipoise._core.registry import Registry
from equipoise.config import convert_options
from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.training import Status

__all__ = ["Event", "Executor", "Watch", "Workers", "available", "create", "executors"]


@dataclass(frozen=True)
class Event:
    """The progress or the end of a run.

    Attributes:
        run: The run.
        status: Its progress.
        ended: Whether the run has ended.
        error: Why the run failed.
        abandoned: Whether the run ended because the watcher abandoned it.
    """

    run: PlannedRun
    status: Status | None = None
    ended: bool = False
    error: str | None = None
    abandoned: bool = False


Watch = Callable[[Event], None]
"""Receives the events of runs. It may raise `Abandoned` on the progress of a run to end that run without a result."""


class Workers(ABC):
    """Makes runs, several at a time. Use it in a `with` statement; no run goes on after its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def start(self, run: PlannedRun) -> None:
        """Begin a run, or queue it. The runs that it needs have ended."""

    @abstractmethod
    def wait(self, watch: Watch) -> Sequence[Event]:
        """Wait until at least one of the runs that were started has ended.

        Args:
            watch: Called with the progress of runs. If it raises `Abandoned`, that run is to end without a result.

        Returns:
            The ends of runs.
        """

    @abstractmethod
    def close(self) -> None:
        """End the runs that go on. They keep their last checkpoint."""


class Executor(ABC):
    """A place to make runs.

    Every executor calls `equipoise.studies.run.runner.make_run`, so locks, finished runs and results are the same
    everywhere.
    """

    @abstractmethod
    def open(self, root: Path, jobs: int) -> Workers:
        """Return workers for a study.

        Args:
            root: The directory that all studies share.
            jobs: Number of runs at a time.
        """


executors: Registry[Executor] = Registry("executor", Executor, package=__name__, group="equipoise.executors")


def available() -> Sequence[str]:
    """Return the names of the executors.

    Example:
        >>> available()
        ('local', 'ray', 'slurm')
    """
    return tuple(executors)


def create(name: str, **options: Any) -> Executor:
    """Build an executor.

    Args:
        name: One of `available()`.
        **options: Options of the executor, which are converted to the types that it asks for.

    Raises:
        MissingExtraError: The executor needs a package that is not installed.
        ValueError: The executor or an option is not known, or a value is wrong.

    Example:
        >>> type(create("local")).__name__
        'Local'
    """
    executor = executors[name]
    return executor(**convert_options(f"executor `{name}`", option_types(executor), options))

"""Executors, which make the runs of a study somewhere: one file each, known by the name of its file."""

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


class Workers(ABC):
    """Makes runs, several at a time; to be used in a `with` statement, at whose end no run goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def start(self, run: PlannedRun) -> None:
        """Begin a run, or queue it to be begun; what it needs has ended."""

    @abstractmethod
    def wait(self, watch: Watch) -> Sequence[Event]:
        """Wait until at least one of the runs that were started has ended.

        Args:
            watch: Told how far runs are. Where it raises `Abandoned`, that run is to be ended without a result.

        Returns:
            The ends.
        """

    @abstractmethod
    def close(self) -> None:
        """End what is going on; runs keep their last checkpoint."""


class Executor(ABC):
    """Where and how runs are made; its options are the keyword-only arguments of its class.

    Every executor calls `equipoise.studies.run.runner.make_run`, so locks, cached runs and results are the same.
    """

    @abstractmethod
    def open(self, root: Path, jobs: int) -> Workers:
        """Workers for a study.

        Args:
            root: The directory that all studies share.
            jobs: How many runs there will be at a time.
        """


__all__ = ["Executor", "available", "create"]


executors: Registry[Executor] = Registry("executor", Executor, package=__name__, group="equipoise.executors")


def available() -> Sequence[str]:
    """The names of the executors.

    >>> available()
    ['local', 'ray', 'slurm']
    """
    return tuple(executors)


def create(name: str, **options: Any) -> Executor:
    """Build an executor.

    Args:
        name: One of `available()`.
        options: The executor's own options, which are converted to the types that it asks for.

    Raises:
        MissingExtraError: It needs a package that is not installed.
        ValueError: There is no such executor, it has no such option, or its value is wrong.
    """
    executor = executors[name]
    return executor(**convert_options(f"executor `{name}`", option_types(executor), options))

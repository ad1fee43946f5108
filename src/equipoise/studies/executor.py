"""What it takes to be an executor: runs are handed to its workers, which tell how far they are."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from equipoise.studies.events import Event, Watch
from equipoise.studies.matrix import PlannedRun


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

    A run is made by `equipoise.studies.making.make_run` wherever that is, so the lock of its directory, the cache of
    finished runs and the results are the same for every executor.
    """

    @abstractmethod
    def open(self, root: Path, jobs: int) -> Workers:
        """Workers for a study.

        Args:
            root: The directory that all studies share.
            jobs: How many runs there will be at a time.
        """

"""How far a run is, for whoever watches."""

from collections.abc import Callable
from dataclasses import dataclass

from equipoise.training.setup import Session


@dataclass(frozen=True)
class Status:
    """How far a run is, for whoever watches: units of work (batches trained or evaluated) and what is going on.

    Attributes:
        done: Units of work that are done.
        total: All of them.
        doing: What is going on, for people.
        reached: After an epoch, what the run has reached.
    """

    done: int
    total: int
    doing: str
    reached: "Reached | None" = None


@dataclass(frozen=True)
class Reached:
    """What a run has reached after an epoch; told when its checkpoint is written.

    Attributes:
        epoch: The epoch, counted from 1.
        seconds: Time of training and evaluation so far.
        score: Of this epoch's evaluation, see `Selection`; none if it was not evaluated.
    """

    epoch: int
    seconds: float
    score: float | None


class Abandoned(Exception):
    """Raised by whoever watches a run to end it before its time: it keeps its checkpoint and has no result."""


class Meter:
    """Counts batches, trained or measured, and tells whoever watches.

    Args:
        watch: Is told.
        session: Of the run.
        epochs: How many it has.
        evaluations: After which of them it is evaluated.
        done: How many of them are done already.
        tests: How often it is tested at the end.

    Attributes:
        doing: What is going on, for people.
    """

    def __init__(
        self,
        watch: Callable[[Status], None],
        session: Session,
        epochs: int,
        evaluations: list[int],
        done: int,
        tests: int,
    ) -> None:
        steps, measured = len(session.train_loader), len(session.chosen_on.loader)
        tested = 0 if session.chosen_on.split == "test" else tests * len(session.test.loader)
        self._watch = watch
        self._done = done * steps + sum(epoch <= done for epoch in evaluations) * measured
        self._total = epochs * steps + len(evaluations) * measured + tested
        self.doing = "starting"
        self.tell()

    def __call__(self) -> None:
        """Count a batch."""
        self._done += 1
        self.tell()

    def tell(self, reached: Reached | None = None) -> None:
        """Tell how far the run is, and what it has reached where an epoch has ended."""
        self._watch(Status(self._done, self._total, self.doing, reached))

"""The problem that a strategy of weight search solves: it proposes weights and learns what they reach."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Weights = dict[str, float]
"""Loss weights by task."""


class Trial(BaseModel):
    """Weights that were tried, and what they reached.

    Attributes:
        weights: The loss weights.
        run: Key of the run, which is its directory below `runs`.
        balancer: `fixed`, or the method that found the weights in training.
        status: `finished`; `abandoned` before its end, because it was hopeless or no longer needed; or `failed`.
        score: delta_m on validation in percent. Of an abandoned trial it is the best so far, if any.
        epochs: Number of epochs that were trained.
        seconds: Duration of training and evaluation.
        cached: Whether the run was there before this strategy asked for it.
        error: Why the trial failed.
    """

    model_config = ConfigDict(frozen=True)

    weights: Weights
    run: str
    balancer: str = "fixed"
    status: Literal["finished", "abandoned", "failed"]
    score: float | None
    epochs: int
    seconds: float
    cached: bool = False
    error: str | None = None

    @property
    def value(self) -> float:
        """The value to compare trials by: the score of a finished trial, else minus infinity."""
        if self.status != "finished" or self.score is None or not math.isfinite(self.score):
            return -math.inf
        return self.score


ShouldPrune = Callable[[int, int, float], bool]
"""Decide after an evaluation whether to abandon a trial, from its position in the call, the epoch and the score."""


def never_prune(trial: int, epoch: int, score: float) -> bool:
    """Abandon no trial."""
    return False


class BudgetSpent(Exception):
    """No further trial may begin."""


class Problem(ABC):
    """The interface on which a strategy tries weights.

    Attributes:
        tasks: Names of the tasks that have weights.
        identity: Identifier of everything that decides what weights reach; the same on every machine.
        directory: Directory in which a strategy may keep files.
        jobs: Number of trials that are made side by side.
    """

    tasks: tuple[str, ...]
    identity: str
    directory: Path
    jobs: int

    @abstractmethod
    def evaluate(self, candidates: Sequence[Weights], should_prune: ShouldPrune = never_prune) -> list[Trial]:
        """Try weights. Weights that were tried before cost nothing.

        Args:
            candidates: The weights of each trial.
            should_prune: Called after evaluations; decides which trials go on.

        Raises:
            BudgetSpent: The budget was spent before all were tried. Those that were tried are kept.
        """

    @abstractmethod
    def mean_weights(self, balancer: str, fraction: float) -> Weights:
        """Train with a balancer for a fraction of the epochs, and return its mean weights over these epochs.

        Raises:
            BudgetSpent: The budget does not allow it.
        """

    @abstractmethod
    def trials(self) -> list[Trial]:
        """Return all trials so far, each once."""

    @abstractmethod
    def add(self, trials: Sequence[Trial]) -> None:
        """Add trials that were made at another time or on another machine."""

    @abstractmethod
    def free_slots(self) -> int:
        """Return how many further trials may begin side by side: the number of jobs, or less if the budget is short."""

    @abstractmethod
    def is_orphaned(self, weights: Weights, *, elsewhere: bool) -> bool:
        """Whether an earlier call asked for the run of these weights and nobody is making it.

        Args:
            weights: The weights.
            elsewhere: Whether other machines make runs too, so that a run that was never begun here may be theirs.
        """


@dataclass(frozen=True)
class Budget:
    """A limit on the cost of all trials of a strategy, cached ones and those of earlier calls included.

    Attributes:
        runs: Number of trials.
        hours: Hours of training after which no further trial begins. Trials that run side by side are added up.
    """

    runs: int | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        if self.runs is not None and self.runs < 1:
            raise ValueError(f"`runs` should be at least 1. Found `runs = {self.runs}`.")
        if self.hours is not None and not self.hours > 0:
            raise ValueError(f"`hours` should be positive. Found `hours = {self.hours}`.")

    def allows(self, trials: Sequence[Trial], wanted: int) -> int:
        """Return how many of the trials that are wanted next may begin after these trials."""
        if self.hours is not None and sum(trial.seconds for trial in trials) >= 3600 * self.hours:
            return 0
        return wanted if self.runs is None else max(0, min(wanted, self.runs - len(trials)))

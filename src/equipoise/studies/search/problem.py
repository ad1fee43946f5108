"""What a strategy of weight search is given, and what it gets back."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Weights = dict[str, float]
"""A loss weight by task."""


class Outcome(BaseModel):
    """What became of a trial.

    Attributes:
        weights: The loss weights.
        run: The key of its run; its directory below `runs`.
        balancer: `fixed`, or the method that found the weights while it trained.
        status: `finished`; `abandoned` before its end, as it was hopeless or not needed any longer; or `failed`.
        score: delta_m on validation in percent; of an abandoned trial the best that it had, if any.
        epochs: How many it was trained for.
        seconds: Time of its training and evaluation.
        cached: Whether its run was there before this strategy asked for it.
        error: Why it failed.
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
        """What to choose by: the score of a finished trial, else minus infinity."""
        if self.status != "finished" or self.score is None or not math.isfinite(self.score):
            return -math.inf
        return self.score


Report = Callable[[int, int, float], bool]
"""Told number of a trial within its call, epoch and score after an evaluation; returns whether to abandon the trial."""


def keep(trial: int, epoch: int, score: float) -> bool:
    """Abandon nothing."""
    return False


class BudgetSpent(Exception):
    """No further trial may begin."""


class Problem(ABC):
    """What a strategy tries weights on.

    Attributes:
        tasks: What there are weights for.
        identity: Names all that decides what weights reach; the same for the same problem on another machine.
        directory: Where a strategy may keep files of its own.
        jobs: How many trials are made side by side.
    """

    tasks: tuple[str, ...]
    identity: str
    directory: Path
    jobs: int

    @abstractmethod
    def evaluate(self, candidates: Sequence[Weights], report: Report = keep) -> list[Outcome]:
        """Try weights; those that have been tried already cost nothing.

        Args:
            candidates: The weights of each trial.
            report: Told of evaluations on the way; decides what goes on.

        Raises:
            BudgetSpent: Before all have been tried. Those that have are kept.
        """

    @abstractmethod
    def balance(self, balancer: str, fraction: float) -> Weights:
        """Train with a balancer for a fraction of the epochs and return the mean weights of these epochs.

        Raises:
            BudgetSpent: There is no budget for it.
        """

    @abstractmethod
    def known(self) -> list[Outcome]:
        """Everything tried so far, each trial once."""

    @abstractmethod
    def recall(self, outcomes: Sequence[Outcome]) -> None:
        """Count in trials that were made at another time or on another machine."""

    @abstractmethod
    def room(self) -> int:
        """How many further trials may begin side by side: as many as there are jobs, or what the budget leaves."""

    @abstractmethod
    def left_behind(self, weights: Weights, *, elsewhere: bool) -> bool:
        """Whether nobody is making the run of weights that an earlier call asked for.

        Args:
            weights: The weights.
            elsewhere: Whether other machines make runs too, so that one that was never begun here may be theirs.
        """


@dataclass(frozen=True)
class Budget:
    """What all trials of a strategy may cost, those of earlier calls and cached ones too.

    Attributes:
        runs: How many there may be.
        hours: Hours of training after which no further trial begins; side by side, each counts.
    """

    runs: int | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        if self.runs is not None and self.runs < 1:
            raise ValueError(f"`runs` should be at least 1. Found `runs = {self.runs}`.")
        if self.hours is not None and not self.hours > 0:
            raise ValueError(f"`hours` should be positive. Found `hours = {self.hours}`.")

    def leaves(self, outcomes: Sequence[Outcome], wanted: int) -> int:
        """How many of the trials that are wanted next may begin."""
        if self.hours is not None and sum(outcome.seconds for outcome in outcomes) >= 3600 * self.hours:
            return 0
        return wanted if self.runs is None else max(0, min(wanted, self.runs - len(outcomes)))

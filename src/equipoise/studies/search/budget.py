"""What a search may cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.studies.search.problem import Outcome


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

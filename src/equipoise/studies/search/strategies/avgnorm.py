"""The mean weights of one run with AvgNorm: no search at all."""

from collections.abc import Sequence
from typing import Any

from equipoise._core.registry import register
from equipoise.studies.search.problem import Problem
from equipoise.studies.search.strategies import Strategy


@register("avgnorm")
class AvgNorm(Strategy):
    """Train once with AvgNorm, take its mean weights, and train once more with these fixed.

    P1 (section VII) holds that AvgNorm finds in one run what a search finds in many, and prints its mean weights
    beside the searched ones (tables VI and VII). They are rounded to four digits.

    Args:
        tasks: What there are weights for.
        fraction: How much of the epochs the run with AvgNorm is trained for, on the schedule of a whole run: 1 is the
            run that `bench` makes, 0.2 a warm-up that costs a fifth of it.

    Raises:
        ValueError: `fraction` is not in (0, 1].
    """

    def __init__(self, tasks: Sequence[str], *, fraction: float = 1.0, **options: Any) -> None:
        super().__init__(tasks, **options)
        if not 0 < fraction <= 1:
            raise ValueError(f"`fraction` should be in (0, 1]. Found `fraction = {fraction}`.")
        self.fraction = fraction

    def search(self, problem: Problem) -> None:
        """Train with AvgNorm, and with what it found."""
        weights = problem.balance("avgnorm", self.fraction)
        problem.evaluate([{task: float(f"{weight:.4g}") for task, weight in weights.items()}])

    def expected(self) -> int:
        """Two runs."""
        return 2

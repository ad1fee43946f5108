"""The mean weights of one run with AvgNorm, in place of a search."""

from collections.abc import Sequence
from typing import Any

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.studies.search.problem import Problem
from equipoise.studies.search.strategies import Strategy


@register("avgnorm")
class AvgNorm(Strategy):
    """Train once with AvgNorm, and once more with its mean weights as fixed weights.

    Guo et al. (2025, section VII) claim that AvgNorm finds in one run what a search finds in many. They print its mean
    weights beside the searched ones (tables VI and VII). The weights are rounded to four digits.

    Args:
        tasks: Names of the tasks that have weights.
        fraction: Fraction of the epochs that the run with AvgNorm is trained for, on the schedule of a whole run. 1 is
            the run that `bench` makes; 0.2 is a warm-up at a fifth of its cost.

    Raises:
        ValueError: `fraction` is not in (0, 1].
    """

    def __init__(self, tasks: Sequence[str], *, fraction: float = 1.0, **options: Any) -> None:
        super().__init__(tasks, **options)
        require(0 < fraction <= 1, "fraction", fraction, "be in (0, 1]")
        self.fraction = fraction

    def search(self, problem: Problem) -> None:
        """Train with AvgNorm, then with the weights that it found."""
        weights = problem.mean_weights("avgnorm", self.fraction)
        problem.evaluate([{task: float(f"{weight:.4g}") for task, weight in weights.items()}])

    def expected(self) -> int:
        """Return 2."""
        return 2

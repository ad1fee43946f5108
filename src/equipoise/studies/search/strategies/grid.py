"""All combinations of given values."""

import itertools
import math

from equipoise.studies.search.problem import Problem
from equipoise.studies.search.strategy import RangeStrategy


class Grid(RangeStrategy):
    """Try every combination of the values of all tasks; the last task's value changes fastest.

    With T tasks and the default values that is 7^(T - 1) runs: give ranges.

    Args:
        tasks: What there are weights for.
        ranges: Values by task, see `RangeStrategy`.
    """

    def search(self, problem: Problem) -> None:
        """Try the whole grid."""
        points = itertools.product(*(self.ranges[task] for task in self.tasks))
        problem.evaluate([dict(zip(self.tasks, point, strict=True)) for point in points])

    def expected(self) -> int:
        """The number of combinations."""
        return math.prod(map(len, self.ranges.values()))

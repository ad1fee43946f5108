"""Strategies that try given values: all combinations, or one task after another."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.studies.search.problem import Problem
from equipoise.studies.search.strategies import RangeStrategy


@register("grid")
class Grid(RangeStrategy):
    """Try every combination of the values of all tasks. The value of the last task changes fastest.

    With T tasks and the default values these are 7^(T - 1) runs, so give ranges.

    Args:
        tasks: Names of the tasks that have weights.
        ranges: Values by task, see `RangeStrategy`.
    """

    def search(self, problem: Problem) -> None:
        """Try the whole grid."""
        points = itertools.product(*(self.ranges[task] for task in self.tasks))
        problem.evaluate([dict(zip(self.tasks, point, strict=True)) for point in points])

    def expected(self) -> int:
        """Return the number of combinations."""
        return math.prod(map(len, self.ranges.values()))


@register("coordinate")
class Coordinate(RangeStrategy):
    """Choose the weight of one task after another, while the others keep the best known weights.

    The search begins with the value of each task that is nearest to 1. With n values for each of T - 1 tasks, a round
    takes 1 + (T - 1)(n - 1) runs. A round in which nothing changes is the last. Guo et al. (2025) do not say how they
    searched for weights; this procedure is affordable and ends at weights such as those they print.

    Args:
        tasks: Names of the tasks that have weights.
        rounds: Largest number of rounds over the tasks.
        ranges: Values by task, see `RangeStrategy`.

    Raises:
        ValueError: `rounds` is less than 1, or a range is wrong.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        rounds: int = 1,
        ranges: Mapping[str, Sequence[float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(tasks, ranges=ranges, **options)
        require(rounds >= 1, "rounds", rounds, "be at least 1")
        self.rounds = rounds

    def search(self, problem: Problem) -> None:
        """Go through the tasks."""
        best = {task: min(values, key=lambda value: abs(value - 1)) for task, values in self.ranges.items()}
        for _ in range(self.rounds):
            before = dict(best)
            for task, values in self.ranges.items():
                if len(values) < 2:
                    continue
                found = problem.evaluate([best | {task: value} for value in values])
                current = next(trial for trial in found if trial.weights == best)
                winner = max(found, key=lambda trial: trial.value)
                # If nothing is better, the weights stay.
                if winner.value > current.value:
                    best = dict(winner.weights)
            if best == before:
                return

    def expected(self) -> int:
        """Return the runs of all rounds; fewer are made if weights repeat or a round changes nothing."""
        return 1 + self.rounds * sum(len(values) - 1 for values in self.ranges.values())

"""All combinations of given values."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from equipoise._core.registry import register
from equipoise.studies.search.problem import Problem
from equipoise.studies.search.strategies import RangeStrategy


@register("grid")
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


@register("coordinate")
class Coordinate(RangeStrategy):
    """Choose the weight of one task after another, the others being held at the best that is known.

    It begins with the value of each task that is nearest to 1. With n values for each of T - 1 tasks, a round is
    1 + (T - 1)(n - 1) runs; a round in which nothing changes is the last. P1 does not say how its weights were searched
    for; this is the procedure that can be afforded and ends at weights such as those it prints.

    Args:
        tasks: What there are weights for.
        rounds: How often to go through the tasks at most.
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
        if rounds < 1:
            raise ValueError(f"`rounds` should be at least 1. Found `rounds = {rounds}`.")
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
                held = next(outcome for outcome in found if outcome.weights == best)
                winner = max(found, key=lambda outcome: outcome.value)
                # Where nothing is better, what there is stays.
                if winner.value > held.value:
                    best = dict(winner.weights)
            if best == before:
                return

    def expected(self) -> int:
        """The runs of all rounds; fewer where a round changes nothing or comes to weights that were tried."""
        return 1 + self.rounds * sum(len(values) - 1 for values in self.ranges.values())

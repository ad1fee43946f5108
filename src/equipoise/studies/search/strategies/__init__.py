"""Strategies of weight search: one file each, known by the name of its file."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from equipoise._core.options import check_options, option_types
from equipoise._core.registry import Registry
from equipoise._core.text import unknown
from equipoise.studies.search.problem import Problem

VALUES: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""What P1's searched weights are among (tables II to VII); the values of each task but the first."""


class Strategy(ABC):
    """A way to find loss weights.

    Args:
        tasks: What there are weights for.
    """

    endless: ClassVar[bool] = False
    """Whether it goes on as long as there is a budget."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)

    def check(self, directory: Path, identity: str) -> None:
        """Find out, before anything is trained, whether what a search keeps can be opened; by default it keeps nothing.

        Args:
            directory: Of the problem, like `identity`.
            identity: What the problem is known by.

        Raises:
            ValueError: It cannot be opened.
        """
        return

    @abstractmethod
    def search(self, problem: Problem) -> None:
        """Try weights until there is nothing more to try; the trials are what is found.

        Raises:
            BudgetSpent: By the problem.
        """

    @abstractmethod
    def expected(self) -> int | None:
        """The number of runs without a budget; none where it cannot be told."""


class RangeStrategy(Strategy):
    """A strategy that looks for the weights of each task in a range.

    Args:
        tasks: What there are weights for.
        ranges: Values by task. The first task is at 1, the others among `VALUES`, where nothing is said.

    Raises:
        ValueError: A task is not there, has no values, or one is negative or not finite.
    """

    def __init__(
        self, tasks: Sequence[str], *, ranges: Mapping[str, Sequence[float]] | None = None, **options: Any
    ) -> None:
        super().__init__(tasks, **options)
        self.ranges: dict[str, tuple[float, ...]] = dict.fromkeys(self.tasks, VALUES)
        self.ranges[self.tasks[0]] = (1.0,)
        for task, values in (ranges or {}).items():
            if task not in self.ranges:
                raise unknown("range", task, self.tasks)
            if not values or not all(math.isfinite(value) and value >= 0 for value in values):
                raise ValueError(
                    f"the range of `{task}` should hold finite numbers, zero or more. Found `{list(values)}`."
                )
            self.ranges[task] = tuple(dict.fromkeys(map(float, values)))


strategies: Registry[Strategy] = Registry("strategy", Strategy, package=__name__, group="equipoise.strategies")


def available() -> list[str]:
    """The names of the strategies.

    >>> available()
    ['avgnorm', 'coordinate', 'grid', 'random', 'tpe']
    """
    return list(strategies)


def create(name: str, tasks: Sequence[str], **options: Any) -> Strategy:
    """Build a strategy.

    Args:
        name: One of `available()`.
        tasks: What there are weights for.
        options: The strategy's own options.

    Raises:
        ValueError: There is no such strategy, it has no such option, or its value is wrong.
    """
    strategy = strategies[name]
    check_options(f"Strategy `{name}`", option_types(strategy), options)
    return strategy(tasks, **options)

"""Strategies of weight search, one file each.

A strategy of your own derives from `Strategy` or `RangeStrategy` and is registered by `equipoise.register`. Its options
are the keyword-only arguments of its class.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from equipoise._core.options import check_options, option_types
from equipoise._core.registry import Registry
from equipoise._core.text import unknown
from equipoise.studies.search.problem import Problem

__all__ = ["RangeStrategy", "Strategy", "available", "create", "strategies"]

DEFAULT_VALUES: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Weights to try for each task but the first; the searched weights of Guo et al. (2025, tables II to VII) are among
them."""


class Strategy(ABC):
    """A way to find loss weights.

    Args:
        tasks: Names of the tasks that have weights.
    """

    endless: ClassVar[bool] = False
    """Whether the strategy goes on as long as there is a budget."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)

    def check(self, directory: Path, identity: str) -> None:
        """Check, before anything is trained, that the files of a search can be opened. By default there are none.

        Args:
            directory: Directory of the problem.
            identity: Identifier of the problem.

        Raises:
            ValueError: A file cannot be opened.
        """
        return

    @abstractmethod
    def search(self, problem: Problem) -> None:
        """Try weights until there is nothing more to try. The trials are the result.

        Raises:
            BudgetSpent: From the problem.
        """

    @abstractmethod
    def expected(self) -> int | None:
        """Return the number of runs without a budget; none if it is not known."""


class RangeStrategy(Strategy):
    """A strategy that looks for the weight of each task in a range.

    Args:
        tasks: Names of the tasks that have weights.
        ranges: Values by task. By default the first task has the weight 1, and the others the values 1 to 100 of
            `DEFAULT_VALUES`.

    Raises:
        ValueError: A task is not known, has no values, or a value is negative or not finite.
    """

    def __init__(
        self, tasks: Sequence[str], *, ranges: Mapping[str, Sequence[float]] | None = None, **options: Any
    ) -> None:
        super().__init__(tasks, **options)
        self.ranges: dict[str, tuple[float, ...]] = dict.fromkeys(self.tasks, DEFAULT_VALUES)
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
    """Return the names of the strategies.

    Example:
        >>> available()
        ['avgnorm', 'coordinate', 'grid', 'random', 'tpe']
    """
    return list(strategies)


def create(name: str, tasks: Sequence[str], **options: Any) -> Strategy:
    """Build a strategy.

    Args:
        name: One of `available()`.
        tasks: Names of the tasks that have weights.
        **options: Options of the strategy.

    Raises:
        ValueError: The strategy or an option is not known, or a value is wrong.

    Example:
        >>> create("grid", ["seg", "depth"], ranges={"depth": [1, 5]}).expected()
        2
    """
    strategy = strategies[name]
    check_options(f"Strategy `{name}`", option_types(strategy), options)
    return strategy(tasks, **options)

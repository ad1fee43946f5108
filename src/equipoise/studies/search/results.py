"""The results of a weight search, as `search-STRATEGY.json` stores them; and ranges of weights from text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from equipoise._core.files import write_json
from equipoise._core.text import file_name
from equipoise.studies.search.problem import Trial


class SearchResult(BaseModel):
    """The trials of one strategy on one study.

    Attributes:
        strategy: Name of the strategy.
        options: Options of the strategy that were given.
        problem: Identifier of everything that decides what weights reach. Strategies with the same one are comparable.
        seed: Seed of all runs.
        protocol: How checkpoints were chosen.
        trials: The trials, in order.
        own: Keys of the runs that the strategy has started itself; all others were cached.
        test: delta_m of the best trial on the test split, in percent; none if nothing is found yet, or if the run is on
            another machine.
    """

    model_config = ConfigDict(frozen=True)

    strategy: str
    options: dict[str, Any] = Field(default_factory=dict)
    problem: str
    seed: int
    protocol: str
    trials: tuple[Trial, ...] = ()
    own: tuple[str, ...] = ()
    test: float | None = None

    @property
    def best(self) -> Trial | None:
        """The best trial with fixed weights on validation, the first of equals; none if there is none."""
        fixed = [trial for trial in self.trials if trial.balancer == "fixed" and trial.value > float("-inf")]
        return max(fixed, key=lambda trial: trial.value, default=None)

    @property
    def hours(self) -> float:
        """Hours of training and evaluation of all trials, including cached ones."""
        return sum(trial.seconds for trial in self.trials) / 3600

    @property
    def cached_hours(self) -> float:
        """Hours of the cached trials, which other studies or strategies had spent before."""
        return sum(trial.seconds for trial in self.trials if trial.cached) / 3600

    def write(self, directory: Path) -> None:
        """Write the file of the strategy in a directory, replacing it at once."""
        write_json(_path(directory, self.strategy), self.model_dump(mode="json"))


def _path(directory: Path, strategy: str) -> Path:
    return directory / f"search-{file_name(strategy)}.json"


def read_search(directory: Path, strategy: str) -> SearchResult | None:
    """Return the results of a strategy in a directory; none if there are none or the file is damaged."""
    try:
        return SearchResult.model_validate(json.loads(_path(directory, strategy).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def search_strategies(directory: Path) -> list[str]:
    """Return the names of the strategies that have a file in a directory."""
    return sorted(path.stem.removeprefix("search-") for path in directory.glob("search-*.json"))


def read_searches(directory: Path) -> dict[str, list[SearchResult]]:
    """Return the results of all strategies that have found something, by problem."""
    by_problem: dict[str, list[SearchResult]] = {}
    for found in (read_search(directory, name) for name in search_strategies(directory)):
        if found is not None and found.best is not None:
            by_problem.setdefault(found.problem, []).append(found)
    return by_problem


def parse_ranges(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return ranges of weights by task.

    Args:
        texts: Texts such as `depth=1,2,5`.

    Raises:
        ValueError: A text has another form, or two are for the same task.

    Example:
        >>> parse_ranges(["depth=1,2,5", "edge=10"])
        {'depth': (1.0, 2.0, 5.0), 'edge': (10.0,)}
    """
    ranges: dict[str, tuple[float, ...]] = {}
    for text in texts:
        task, _, numbers = text.partition("=")
        try:
            values = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            raise ValueError(
                f"a range should have the form TASK=NUMBER,NUMBER,... such as depth=1,2,5. Found `{text}`."
            ) from None
        if task in ranges:
            raise ValueError(f"a task should have one range. Found two of `{task}`.")
        ranges[task] = values
    return ranges

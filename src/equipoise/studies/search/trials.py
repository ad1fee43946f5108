"""What a search has found, as `search-STRATEGY.json` keeps it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from equipoise._core.files import write_json
from equipoise._core.text import file_name
from equipoise.studies.search.problem import Outcome


class SearchRecord(BaseModel):
    """One strategy on one study.

    Attributes:
        strategy: Its name.
        options: Its options, as far as any were given.
        problem: Names all that decides what weights reach; strategies with the same can be compared.
        seed: Of all runs.
        protocol: How checkpoints were chosen.
        trials: What was tried, in this order.
        own: Keys of the runs that the strategy has begun itself; others were cached.
        test: delta_m of the best trial on the test split, in percent; none while nothing is found, or where its run is
            on another machine.
    """

    model_config = ConfigDict(frozen=True)

    strategy: str
    options: dict[str, Any] = Field(default_factory=dict)
    problem: str
    seed: int
    protocol: str
    trials: tuple[Outcome, ...] = ()
    own: tuple[str, ...] = ()
    test: float | None = None

    @property
    def best(self) -> Outcome | None:
        """The trial with fixed weights that is best on validation, the first of equals; none if there is none."""
        fixed = [trial for trial in self.trials if trial.balancer == "fixed" and trial.value > float("-inf")]
        return max(fixed, key=lambda trial: trial.value, default=None)

    @property
    def hours(self) -> float:
        """Hours of training and evaluation of all trials, cached ones too."""
        return sum(trial.seconds for trial in self.trials) / 3600

    @property
    def cached_hours(self) -> float:
        """Those of the hours that other studies or strategies had spent already."""
        return sum(trial.seconds for trial in self.trials if trial.cached) / 3600

    def write(self, directory: Path) -> None:
        """Write it into a directory, in one move."""
        write_json(record_path(directory, self.strategy), self.model_dump(mode="json"))


def record_path(directory: Path, strategy: str) -> Path:
    """Where the record of a strategy is."""
    return directory / f"search-{file_name(strategy)}.json"


def read_record(directory: Path, strategy: str) -> SearchRecord | None:
    """The record of a strategy in a directory, or none if there is none (or its file is damaged)."""
    try:
        return SearchRecord.model_validate(json.loads(record_path(directory, strategy).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def read_records(directory: Path) -> dict[str, list[SearchRecord]]:
    """The records of all strategies that have found something, by name; those on one problem together."""
    names = sorted(path.stem.removeprefix("search-") for path in directory.glob("search-*.json"))
    found: dict[str, list[SearchRecord]] = {}
    for record in (read_record(directory, name) for name in names):
        if record is not None and record.best is not None:
            found.setdefault(record.problem, []).append(record)
    return found


def parse_ranges(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Ranges by task.

    Args:
        texts: Such as `depth=1,2,5`.

    Raises:
        ValueError: One has another form, or two are of the same task.

    >>> parse_ranges(["depth=1,2,5", "edge=10"])
    {'depth': (1.0, 2.0, 5.0), 'edge': (10.0,)}
    """
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        task, _, numbers = text.partition("=")
        try:
            values = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            raise ValueError(
                f"a range should have the form TASK=NUMBER,NUMBER,... such as depth=1,2,5. Found `{text}`."
            ) from None
        if task in found:
            raise ValueError(f"a task should have one range. Found two of `{task}`.")
        found[task] = values
    return found

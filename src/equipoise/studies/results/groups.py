"""The rows of a study grouped by method, variant and seed, and their means."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol, TypeVar

from equipoise.config import SINGLE
from equipoise.studies.results.rows import RunRow


class Method(NamedTuple):
    """A balancing method in one variant of a study.

    Attributes:
        variant: Label of the variant; none in a study without variants.
        name: Label of the method; `single` for the single-task networks.
    """

    variant: str | None
    name: str

    @property
    def title(self) -> str:
        """The name for tables and captions, with the variant in front if there is one.

        Example:
            >>> Method("small", "avgnorm").title
            'small, avgnorm'
        """
        return f"{self.variant}, {self.name}" if self.variant else self.name

    @property
    def is_single(self) -> bool:
        """Whether these are the single-task networks."""
        return self.name == SINGLE


class OfMethod(Protocol):
    """Anything that belongs to a method: a `RunRow`, or a verdict on a run."""

    @property
    def variant(self) -> str | None:
        """Label of the variant."""
        ...

    @property
    def balancer(self) -> str:
        """Label of the method."""
        ...


Item = TypeVar("Item")
Row = TypeVar("Row", bound=OfMethod)
Key = TypeVar("Key", bound=Hashable)


def method_of(row: OfMethod) -> Method:
    """Return the method that a row belongs to."""
    return Method(row.variant, row.balancer)


def by_method(rows: Iterable[Row]) -> dict[Method, list[Row]]:
    """Group rows by variant and method, in the order in which the methods first occur."""
    return group(rows, method_of)


def by_variant(rows: Iterable[Row]) -> dict[str | None, list[Row]]:
    """Group rows by variant, in the order in which the variants first occur."""
    return group(rows, lambda row: row.variant)


def by_seed(rows: Iterable[RunRow]) -> dict[int, list[RunRow]]:
    """Group rows by seed, in the order in which the seeds first occur."""
    return group(rows, lambda row: row.seed)


def group(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items by a key, in the order in which the keys first occur.

    Example:
        >>> group(["b1", "a1", "b2"], lambda item: item[0])
        {'b': ['b1', 'b2'], 'a': ['a1']}
    """
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def finished(rows: Iterable[RunRow]) -> list[RunRow]:
    """Return the rows of finished runs."""
    return [row for row in rows if row.status == "finished"]


def multi_task(rows: Iterable[RunRow]) -> list[RunRow]:
    """Return the rows that are not of single-task networks."""
    return [row for row in rows if row.balancer != SINGLE]


def single_task(rows: Iterable[RunRow], variant: str | None) -> list[RunRow]:
    """Return the rows of the single-task networks of a variant, for example of `row.reference`."""
    return [row for row in rows if row.balancer == SINGLE and row.variant == variant]


def mean_metrics(rows: Iterable[RunRow]) -> dict[str, float]:
    """Return the mean of every metric over the rows that have it, by `task.metric`."""
    return mean_by_key(row.metrics for row in rows)


def mean_by_key(mappings: Iterable[Mapping[str, float | None]]) -> dict[str, float]:
    """Return the mean value of every key over the mappings that have it; none values are left out.

    Example:
        >>> mean_by_key([{"seg": 1.0, "depth": None}, {"seg": 3.0, "edge": 5.0}])
        {'seg': 2.0, 'edge': 5.0}
    """
    values: dict[str, list[float]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            if value is not None:
                values.setdefault(key, []).append(value)
    return {key: fmean(found) for key, found in values.items()}


def delta_m_by_seed(rows: Iterable[RunRow]) -> dict[int, float]:
    """Return delta_m in percent by seed, as far as rows have one.

    The single-task networks of a seed make one row of a table: their value is the mean.
    """
    known = group((row for row in rows if row.delta_m is not None), lambda row: row.seed)
    return {seed: fmean(row.delta_m for row in of_seed if row.delta_m is not None) for seed, of_seed in known.items()}


def task_order(rows: Sequence[RunRow]) -> list[str]:
    """Return all tasks, those of multi-task networks first: a task has one place and colour in all figures of a study.

    Networks with more tasks come before those with fewer.
    """
    longest_first = sorted(rows, key=lambda row: -len(row.tasks))
    return list(dict.fromkeys(task for row in longest_first for task in row.tasks))

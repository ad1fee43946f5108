"""The numbers that the two papers print, to stand beside measured ones.

The tables are files of the folder `published_tables`. Those of paper one ("Revisit the Imbalance Optimization in
Multi-task Learning: An Experimental Analysis", 2025) hold metrics, from which delta_m is computed anew: some of the
printed ones do not follow from the cells beside them. Those of paper two ("Uniform Loss vs. Specialized Optimization",
2025) hold relative changes against the single-task networks, in percent, in columns that end in `_change`; delta_m over
some of them is computed anew.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from equipoise._core.text import choose
from equipoise.config import SINGLE, PublishedConfig
from equipoise.metrics import delta_m_within_tasks, mean_within_tasks

_SPELLINGS = {"nashmtl": "nash_mtl"}
"""Names of methods as a paper's table has them, where they are not ours."""


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    Attributes:
        values: Metrics by `task.metric`, as far as there are any.
        changes: Relative changes in percent likewise.
        delta_m: In percent, over the metrics asked for where the table has them all, else as printed.
    """

    values: Mapping[str, float]
    changes: Mapping[str, float]
    delta_m: float


def tables() -> list[str]:
    """The names of the published tables.

    >>> "paper_one_table2_nyud" in tables()
    True
    """
    return sorted(_files())


def read(published: PublishedConfig, directions: Mapping[str, bool]) -> dict[str, PublishedRow]:
    """The rows of a published table by method.

    Args:
        published: The table, which of its rows, and which single-task row they are compared with.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.

    Raises:
        ValueError: There is no such table, or it has no such rows.
    """
    text = choose("published.table", published.table, _files()).read_text(encoding="utf-8")
    entries = list(csv.DictReader(text.splitlines()))
    chosen = _where(published, entries, published.rows)
    reference = _where(published, entries, published.rows if published.reference is None else published.reference)
    single = next((_values(entry, directions) for entry in reference if entry["method"] == SINGLE), None)
    found = {}
    for entry in chosen:
        values = _values(entry, directions)
        changes = _values(entry, directions, "_change")
        computed = float(entry["delta_m"])
        if single is not None and values.keys() == directions.keys():
            computed = delta_m_within_tasks(values, single, directions)
        # What is printed is over all changes of the table.
        elif changes.keys() == directions.keys() and len(changes) < sum(key.endswith("_change") for key in entry):
            computed = mean_within_tasks(changes)
        found[_SPELLINGS.get(entry["method"], entry["method"])] = PublishedRow(values, changes, computed)
    return found


def _files() -> dict[str, Traversable]:
    folder = files("equipoise.studies.results") / "published_tables"
    return {file.name.removesuffix(".csv"): file for file in folder.iterdir() if file.name.endswith(".csv")}


def _where(
    published: PublishedConfig, entries: list[dict[str, str]], wanted: Mapping[str, str]
) -> list[dict[str, str]]:
    found = [entry for entry in entries if all(entry.get(key) == value for key, value in wanted.items())]
    if not found:
        there = {key: sorted({entry.get(key, "") for entry in entries}) for key in wanted}
        raise ValueError(
            f"`published` should choose rows of {published.table}. Found `{dict(wanted)}`, it has {there}."
        )
    return found


def _values(entry: Mapping[str, str], directions: Mapping[str, bool], ending: str = "") -> dict[str, float]:
    columns = {key: key.replace(".", "_") + ending for key in directions}
    return {key: float(entry[column]) for key, column in columns.items() if entry.get(column)}

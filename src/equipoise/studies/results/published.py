"""The results that the two papers print, for comparison with measured ones.

The tables are the files of the folder `published_tables`. Those of Guo et al. (2025, "Revisit the Imbalance
Optimization in Multi-task Learning: An Experimental Analysis") hold metrics. Their delta_m is computed anew, because
some printed values do not follow from the cells beside them. Those of Gama & Grassi (2025, "Uniform Loss vs.
Specialized Optimization") hold relative changes against the single-task networks, in percent, in columns that end in
`_change`. Their delta_m is computed anew if it is over some of the columns.
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
"""Names of methods as a paper's table spells them, with ours."""


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    Attributes:
        values: Metrics by `task.metric`; empty if the table has none.
        changes: Relative changes in percent by `task.metric`; empty if the table has none.
        delta_m: Percent. It is computed over the metrics asked for if the table has all of them. Otherwise the printed
            value is used.
    """

    values: Mapping[str, float]
    changes: Mapping[str, float]
    delta_m: float


def tables() -> list[str]:
    """Return the names of the published tables.

    Example:
        >>> "paper_one_table2_nyud" in tables()
        True
    """
    return sorted(_files())


def read(published: PublishedConfig, directions: Mapping[str, bool]) -> dict[str, PublishedRow]:
    """Return the rows of a published table by method.

    Args:
        published: The table, the rows to read, and the single-task row that they are compared with.
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
        # The printed value is over all changes of the table.
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
            f"`published` should choose rows of {published.table}. Found `{dict(wanted)}`; the table has {there}."
        )
    return found


def _values(entry: Mapping[str, str], directions: Mapping[str, bool], ending: str = "") -> dict[str, float]:
    columns = {key: key.replace(".", "_") + ending for key in directions}
    return {key: float(entry[column]) for key, column in columns.items() if entry.get(column)}

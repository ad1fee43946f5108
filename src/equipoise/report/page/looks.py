"""The look of tasks and methods on the page: that of the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.config import SINGLE
from equipoise.figures import method_styles, task_styles
from equipoise.figures.styles import Style
from equipoise.studies import Record

_SINGLE = {"colour": "#767676", "dashes": "3 3"}


def task_looks(directions: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Name, metric and look of every task, from its main metric `task.metric`."""
    directions = one_of_task(directions)
    styles = task_styles(directions)
    return [
        {"name": key.split(".")[0], "metric": key.replace(".", " "), "higher": higher, **_look(styles[key])}
        for key, higher in directions.items()
    ]


def one_of_task(directions: Mapping[str, bool]) -> dict[str, bool]:
    """The first metric of every task, its main one: charts have one place for a task."""
    first: dict[str, str] = {}
    for key in directions:
        first.setdefault(key.split(".")[0], key)
    return {key: directions[key] for key in first.values()}


def method_looks(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Name and look of every method, the single-task networks in grey."""
    names = list(dict.fromkeys(record.balancer for record in records))
    styles = method_styles(name for name in names if name != SINGLE)
    return [{"name": name, **(_SINGLE if name == SINGLE else _look(styles[name]))} for name in names]


def _look(style: Style) -> dict[str, str]:
    return {"colour": style.colour, "dashes": " ".join(f"{1.6 * length:g}" for length in style.dashes)}

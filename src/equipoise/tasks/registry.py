"""Kinds of tasks by name."""

from functools import cache
from typing import Any

from equipoise.naming import choose, discover
from equipoise.tasks.base import Task


@cache
def _kinds() -> dict[str, type[Task]]:
    return discover("equipoise.tasks", Task)


def available() -> tuple[str, ...]:
    """Return the kinds of tasks there are.

    Examples:
        >>> "depth" in available()
        True
    """
    return tuple(_kinds())


def kind(name: str) -> type[Task]:
    """Return the class of a kind of task.

    Args:
        name: One of :func:`available`.

    Raises:
        ValueError: There is no such kind.
    """
    return choose("kind", name, _kinds())


def create(kind_name: str, /, *, name: str, **fields: Any) -> Task:
    """Build a task from the name of its kind.

    Args:
        kind_name: One of :func:`available`.
        name: How the task is called in samples, predictions and tables.
        **fields: Further fields of the kind's class.

    Raises:
        ValueError: There is no such kind.

    Examples:
        >>> create("semantic_segmentation", name="seg", classes=("wall", "floor", "ceiling")).channels
        3
    """
    return kind(kind_name)(name=name, **fields)

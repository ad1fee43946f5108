"""Tasks: the encoding of labels, loss, metrics, channels and drawing. One file a kind."""

from typing import Any

from equipoise._core.registry import Registry
from equipoise.tasks.base import Output, Task

__all__ = ["Output", "Task", "available", "create", "kind"]

kinds: Registry[Task] = Registry("kind", Task, package="equipoise.tasks", group="equipoise.tasks")


def available() -> tuple[str, ...]:
    """Return the kinds of tasks there are.

    Examples:
        >>> "depth" in available()
        True
    """
    return tuple(kinds)


def kind(name: str) -> type[Task]:
    """Return the class of a kind of task.

    Args:
        name: One of :func:`available`.

    Raises:
        ValueError: There is no such kind.
    """
    return kinds[name]


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

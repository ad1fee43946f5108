"""Tasks: encoding of labels, loss, metrics, channels and drawing. One file for each kind.

The files refer to two papers. Guo et al. (2025) is "Revisit the Imbalance Optimization in Multi-task Learning: An
Experimental Analysis"; Gama & Grassi (2025) is "Uniform Loss vs. Specialized Optimization".
"""

from typing import Any

from equipoise.tasks.base import Output, Task, kinds

__all__ = ["Output", "Task", "available", "create", "kind", "kinds"]


def available() -> tuple[str, ...]:
    """Return the kinds of tasks by name.

    Example:
        >>> "depth" in available()
        True
    """
    return tuple(kinds)


def kind(name: str) -> type[Task]:
    """Return the class of a kind of task.

    Args:
        name: One of `available()`, or `module:Class`.

    Raises:
        ValueError: There is no such kind.
    """
    return kinds[name]


def create(kind_name: str, /, *, name: str, **fields: Any) -> Task:
    """Build a task from the name of its kind.

    Args:
        kind_name: One of `available()`, or `module:Class`.
        name: The name of the task in samples, predictions and tables.
        **fields: Further fields of the class.

    Raises:
        ValueError: There is no such kind.

    Example:
        >>> create("semantic_segmentation", name="seg", classes=("wall", "floor", "ceiling")).channels
        3
    """
    return kind(kind_name)(name=name, **fields)

"""Datasets by name."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from equipoise.data.base import Dataset, Transform
from equipoise.naming import check_options, choose, discover, option_types
from equipoise.tasks import Task

COMMON = frozenset({"split", "tasks", "transform"})
"""What :func:`create` takes by name for every dataset; the other keyword-only arguments of its class are options."""


@cache
def _datasets() -> dict[str, type[Dataset]]:
    return discover("equipoise.data.datasets", Dataset)


def available() -> tuple[str, ...]:
    """Return the names of the datasets.

    Examples:
        >>> "nyud_mini" in available()
        True
    """
    return tuple(_datasets())


def dataset_class(name: str) -> type[Dataset]:
    """Return the class of a dataset.

    Args:
        name: One of :func:`available`.

    Raises:
        ValueError: There is no such dataset.
    """
    return choose("name", name, _datasets())


def _own_options(name: str) -> dict[str, Any]:
    types = option_types(dataset_class(name))
    return {option: kind for option, kind in types.items() if option not in COMMON}


def options(name: str) -> dict[str, Any]:
    """Return the types of a dataset's own options by their names.

    Args:
        name: One of :func:`available`.

    Raises:
        ValueError: There is no such dataset.

    Examples:
        >>> "scenes" in options("rooms")
        True
    """
    return _own_options(name)


def tasks(name: str, names: Iterable[str] | None = None) -> dict[str, Task]:
    """Return tasks of a dataset by name without touching its files.

    Args:
        name: One of :func:`available`.
        names: The tasks wanted, all by default.

    Raises:
        ValueError: There is no such dataset or task.

    Examples:
        >>> tasks("nyud_mini", ["depth", "seg"])["seg"].channels
        40
    """
    return dataset_class(name).tasks(names)


def create(
    name: str,
    *,
    root: str | Path | None = None,
    split: str = "train",
    tasks: Iterable[str] | None = None,
    transform: Transform | None = None,
    **options: Any,
) -> Dataset:
    """Open a split of a dataset.

    Args:
        name: One of :func:`available`.
        root: Its directory; may be left out for datasets that make themselves.
        split: Which part of it.
        tasks: The names of the tasks to read targets of, all by default.
        transform: Acts on every sample, see :mod:`equipoise.data.transforms`.
        **options: Options of this dataset, which are the further parameters of its class.

    Raises:
        ValueError: There is no such dataset, split, task or option.
        DatasetError: The directory is not there or lacks a part of the dataset.
    """
    check_options(f"Dataset `{name}`", _own_options(name), options)
    return dataset_class(name)(root, split=split, tasks=tasks, transform=transform, **options)

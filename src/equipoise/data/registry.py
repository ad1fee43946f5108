"""Datasets by name."""

import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import equipoise.data.datasets
from equipoise.data.base import Dataset, Transform
from equipoise.tasks import Task
from equipoise.tasks.registry import discover, unknown

COMMON = frozenset(inspect.signature(Dataset).parameters) - {"keep_in_memory"}
"""What :func:`create` takes by name for every dataset; the rest of a constructor's parameters are its options."""


@cache
def _datasets() -> dict[str, type[Dataset]]:
    return discover(equipoise.data.datasets, Dataset)


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
    if name not in _datasets():
        raise unknown("name", name, available())
    return _datasets()[name]


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
    chosen = dataset_class(name)
    valid = [parameter for parameter in inspect.signature(chosen).parameters if parameter not in COMMON]
    for option in options:
        if option not in valid:
            raise unknown("options", option, valid)
    return chosen(root, split=split, tasks=tasks, transform=transform, **options)

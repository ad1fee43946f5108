"""Datasets by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from equipoise._core.options import check_options, option_types
from equipoise._core.registry import Registry
from equipoise._core.text import unknown
from equipoise.data.core.dataset import Dataset
from equipoise.data.core.label_noise import LabelNoise
from equipoise.data.core.sample import Transform
from equipoise.data.core.subset import Subset, leave_out_damaged
from equipoise.data.storage.caching import Cache, store_for
from equipoise.tasks import Task

TRAIN = "train"
"""The split that every dataset calls so: the only one whose labels and amount may be changed on purpose."""

OnError = Literal["raise", "skip"]
"""What a missing or damaged file means."""

COMMON = frozenset({"split", "tasks", "transform", "options"})
"""What :func:`create` takes by name for every dataset; the other keyword-only arguments of its class are options."""


datasets: Registry[Dataset] = Registry(
    "dataset", Dataset, package="equipoise.data.datasets", group="equipoise.datasets"
)


def available() -> tuple[str, ...]:
    """Return the names of the datasets.

    Examples:
        >>> "nyud_mini" in available()
        True
    """
    return tuple(datasets)


def dataset_class(name: str) -> type[Dataset]:
    """Return the class of a dataset.

    Args:
        name: One of :func:`available`.

    Raises:
        ValueError: There is no such dataset.
    """
    return datasets[name]


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


def tasks(
    name: str, names: Iterable[str] | None = None, *, root: str | Path | None = None, **options: Any
) -> dict[str, Task]:
    """Return tasks of a dataset by name without opening it.

    Args:
        name: One of :func:`available`.
        names: The tasks wanted, all by default.
        root: Its directory, which only a dataset that describes itself (`folder`) looks into.
        **options: Options of this dataset.

    Raises:
        ValueError: There is no such dataset or task.
        DatasetError: The dataset describes itself, and its description is missing or wrong.

    Examples:
        >>> tasks("nyud_mini", ["depth", "seg"])["seg"].channels
        40
    """
    return dataset_class(name).tasks(names, root, options)


def create(
    name: str,
    *,
    root: str | Path | None = None,
    split: str = "train",
    tasks: Iterable[str] | None = None,
    transform: Transform | None = None,
    corrupt: LabelNoise | None = None,
    subset: Subset | None = None,
    cache: Cache = "memory",
    on_error: OnError = "raise",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Dataset:
    """Open a split of a dataset.

    Args:
        name: One of :func:`available`.
        root: Its directory; may be left out for datasets that make themselves.
        split: Which part of it.
        tasks: The names of the tasks to read targets of, all by default.
        transform: Acts on every sample, see :mod:`equipoise.data.transforms`.
        corrupt: Makes labels wrong, of the split ``"train"`` alone: what is measured on stays right.
        subset: Leaves samples out, of the split ``"train"`` alone.
        cache: Where decoded files are kept, see :func:`equipoise.data.storage.caching.store_for`.
        on_error: What a missing or damaged file means: ``"raise"`` an error when its sample is taken; ``"skip"`` that
            the sample is left out, as are those with labels that break the encoding of their task, for which every
            file is opened now. A warning says how many samples there were; they are listed in ``skipped`` of the
            dataset.
        progress: Called with the number of files that are decoded now, if any are, and of all files of one kind.
        **options: Options of this dataset, which are the further parameters of its class.

    Raises:
        ValueError: There is no such dataset, split, task or option; there is no rule to corrupt a task, or the dataset
            has no scenes (or too few) to choose a subset from.
        DatasetError: The directory is not there or lacks a part of the dataset, or no sample is left.
    """
    check_options(f"Dataset `{name}`", _own_options(name), options)
    dataset = dataset_class(name)(root, split=split, tasks=tasks, transform=transform, **options)
    if corrupt is not None:
        corrupt.check(dataset.tasks(None, root, options), dataset.active_tasks)
    if split == TRAIN:
        dataset.corruption = corrupt
        if subset is not None:
            dataset.identifiers = subset.choose(dataset.identifiers, dataset.scene)
    for argument, value, kind in (("cache", cache, Cache), ("on_error", on_error, OnError)):
        if value not in get_args(kind):
            raise unknown(argument, value, get_args(kind))
    dataset.store = store_for(dataset, cache, options, progress)
    if on_error == "skip":
        leave_out_damaged(dataset)
    return dataset

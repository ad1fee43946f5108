"""Datasets by name: what there is, and how to open it."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from equipoise._core.options import check_options, option_types
from equipoise._core.registry import Registry
from equipoise._core.text import unknown
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.label_noise import LabelNoise
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.core.splits import Subset
from equipoise.data.storage.caching import Cache, store_for
from equipoise.data.storage.stores import threaded
from equipoise.tasks import Task

TRAIN = "train"
"""The training split of every dataset: the only one that label noise and subsets change."""

OnError = Literal["raise", "skip"]
"""The reaction to a missing or damaged file."""

COMMON = frozenset({"split", "tasks", "transform", "options"})
"""Keyword-only arguments that every dataset has. The others are its own options."""


class _Datasets(Registry[Dataset]):
    """The registry of datasets; a class takes the name that it is registered under."""

    def add(self, found: type[Dataset], name: str | None = None) -> None:
        super().add(found, name)
        found.name = next(known for known, registered in self._classes.items() if registered is found)


datasets = _Datasets("dataset", Dataset, package="equipoise.data.datasets", group="equipoise.datasets")


def available() -> tuple[str, ...]:
    """Return the names of the datasets.

    Example:
        >>> "nyud_mini" in available()
        True
    """
    return tuple(datasets)


def dataset_class(name: str) -> type[Dataset]:
    """Return the class of a dataset.

    Args:
        name: One of `available()`, or `module:Class`.

    Raises:
        ValueError: There is no such dataset.
    """
    return datasets[name]


def options(name: str) -> dict[str, Any]:
    """Return the types of a dataset's own options by their names.

    Args:
        name: The name of the dataset.

    Raises:
        ValueError: There is no such dataset.

    Example:
        >>> "scenes" in options("rooms")
        True
    """
    return _own_options(name)


def tasks(
    name: str, names: Iterable[str] | None = None, *, root: str | Path | None = None, **options: Any
) -> dict[str, Task]:
    """Return tasks of a dataset by name without opening it.

    Args:
        name: The name of the dataset.
        names: The names of the tasks; all by default.
        root: The directory of the dataset. Only a dataset that describes itself (`folder`) looks into it.
        **options: Options of the dataset.

    Raises:
        ValueError: There is no such dataset or task.
        DatasetError: The dataset describes itself, and its description is missing or wrong.

    Example:
        >>> tasks("nyud_mini", ["depth", "seg"])["seg"].channels
        40
    """
    return dataset_class(name).tasks(names, root, options)


def fingerprint(name: str, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> str:
    """Return the fingerprint of a dataset: a text that is the same for the same data, wherever they lie.

    It is a SHA-256 digest of the dataset's name, its options, and the paths below the root and the sizes of all files
    that samples of any split or task are read from. Files that list or describe samples count with their content.
    Options that have their default value, absolute paths, and times of change do not count. No image is read.

    Args:
        name: The name of the dataset.
        root: The directory of the dataset. A dataset that makes itself (`rooms`) needs none: its options and the
            version of its generator decide.
        options: Options of the dataset.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: There is no such dataset or option.
        DatasetError: The data are missing.

    Example:
        >>> fingerprint("rooms", options={"scenes": 3}) == fingerprint("rooms", options={"scenes": 4})
        False
    """
    check_options(f"Dataset `{name}`", _own_options(name), options)
    return dataset_class(name).fingerprint(root, options)


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
        name: One of `available()`, or `module:Class`.
        root: The directory of the dataset. A dataset that makes itself needs none.
        split: The name of the split.
        tasks: The names of the tasks to read targets of; all by default.
        transform: Applied to every sample, see `equipoise.data.transforms`.
        corrupt: Makes labels wrong, in the split `"train"` alone. Evaluation uses the right labels.
        subset: Leaves samples out, in the split `"train"` alone.
        cache: Where decoded files are kept, see `equipoise.data.storage.caching.store_for`.
        on_error: The reaction to a missing or damaged file. `"raise"` raises an error when its sample is taken.
            `"skip"` opens every file now and leaves out samples with such files, and samples whose labels break the
            encoding of their task. A warning says how many; the dataset's `skipped` lists them.
        progress: Called with the number of decoded files and of all files of one kind, if files are decoded now.
        **options: Options of the dataset: the further parameters of its class.

    Raises:
        ValueError: There is no such dataset, split, task or option. Or a task has no rule for label noise, or the
            dataset has no scenes (or too few) for a subset.
        DatasetError: The directory is missing or lacks a part of the dataset, or no sample is left.
    """
    check_options(f"Dataset `{name}`", _own_options(name), options)
    for argument, value, kind in (("cache", cache, Cache), ("on_error", on_error, OnError)):
        if value not in get_args(kind):
            raise unknown(argument, value, get_args(kind))
    dataset = dataset_class(name)(root, split=split, tasks=tasks, transform=transform, **options)
    if corrupt is not None:
        corrupt.check(dataset.tasks(None, root, options), dataset.active_tasks)
    if split == TRAIN:
        dataset.label_noise = corrupt
        if subset is not None:
            dataset.identifiers = subset.choose(dataset.identifiers, dataset.scene)
    dataset.store = store_for(dataset, cache, options, progress)
    if on_error == "skip":
        _skip_unreadable(dataset)
    return dataset


def _own_options(name: str) -> dict[str, Any]:
    types = option_types(dataset_class(name))
    return {option: kind for option, kind in types.items() if option not in COMMON}


def _skip_unreadable(dataset: Dataset) -> None:
    """Open every file once and leave out the samples in which `equipoise.data.check` finds a fault.

    Raises:
        DatasetError: No sample is left.
    """
    errors = dict(zip(dataset.identifiers, threaded(partial(_first_fault, dataset), dataset.identifiers), strict=True))
    dataset.skipped = [(identifier, error) for identifier, error in errors.items() if error is not None]
    if not dataset.skipped:
        return
    _, first = dataset.skipped[0]
    if len(dataset.skipped) == len(dataset):
        raise DatasetError(first.path, f"{first.what}; no sample of the split {dataset.split!r} can be used")
    warnings.warn(
        f"{len(dataset.skipped)} of {len(dataset)} samples of {dataset.name!r} ({dataset.split}) are left out. "
        f"The first: {first}. `equipoise data check {dataset.name} {dataset.root}` lists all.",
        stacklevel=3,
    )
    dataset.identifiers = [identifier for identifier in dataset.identifiers if errors[identifier] is None]


def _first_fault(dataset: Dataset, identifier: str) -> DatasetError | None:
    try:
        sample = dataset.decode(identifier)
    except DatasetError as error:
        return error
    for name, task in dataset.active_tasks.items():
        for fault in task.faults(task.finish(sample[name].to(task.dtype))):
            return DatasetError(dataset.file(identifier, name), fault)
    return None

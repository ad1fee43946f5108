"""The check of a dataset: every file is read, statistics are counted, and faults are listed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from equipoise.data.core.dataset import Dataset
from equipoise.data.core.registry import create, dataset_class
from equipoise.data.core.sample import DatasetError, EmptySplitError
from equipoise.data.inspection.report import Report, SplitSummary, TaskSummary
from equipoise.data.storage.stores import threaded
from equipoise.tasks.label_statistics import LabelStatistics


def check(
    name: str,
    root: str | Path | None = None,
    *,
    splits: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Report:
    """Read every file of a dataset.

    Args:
        name: The name of the dataset.
        root: Its directory. A dataset that makes itself needs none.
        splits: The names of the splits to read; all by default.
        progress: Called with the number of finished samples and of all samples of the split.
        **options: Options of the dataset; by default those that give the publisher's splits.

    Returns:
        The statistics and the faults: missing and damaged files, values that break the encoding of their task, and
        samples in two splits. These raise no error.

    Raises:
        ValueError: There is no such dataset, split or option.
    """
    report = Report(name)
    options = {**dataset_class(name).as_published, **options}
    homes: dict[str, str] = {}
    for split in dataset_class(name).splits if splits is None else splits:
        try:
            dataset = create(name, root=root, split=split, cache="none", **options)
        except DatasetError as error:
            # By default all splits that exist are read.
            if splits is None and isinstance(error, EmptySplitError):
                continue
            absent = [] if root is None else dataset_class(name).missing(Path(root).expanduser())
            for one in absent or [error]:
                report.add_fault(one.path, one.what)
            continue
        for error in dataset.faults():
            report.add_fault(error.path, error.what)
        for identifier in dataset.identifiers:
            if identifier in homes:
                what = f"is in {homes[identifier]!r} and again in {split!r}"
                report.add_fault(dataset.file(identifier, dataset.input), what)
            homes[identifier] = split
        report.splits[split] = _read_all(dataset, report, progress)
    return report


@dataclass
class _Inspected:
    """One sample: the size of its input, if it has one, its label statistics by task, and its faults."""

    size: tuple[int, int] | None = None
    labels: dict[str, LabelStatistics] = field(default_factory=dict)
    faults: list[tuple[Path, str]] = field(default_factory=list)


def _read_all(dataset: Dataset, report: Report, progress: Callable[[int, int], None] | None) -> SplitSummary:
    tasks = {name: TaskSummary(task) for name, task in dataset.active_tasks.items()}
    summary = SplitSummary(len(dataset), tasks=tasks)
    for done, found in enumerate(threaded(partial(_inspect, dataset), dataset.identifiers), start=1):
        if found.size is not None:
            summary.sizes[found.size] += 1
        for name, labels in found.labels.items():
            tasks[name].labels.merge(labels)
        for path, what in found.faults:
            report.add_fault(path, what)
        if progress is not None:
            progress(done, len(dataset))
    return summary


def _inspect(dataset: Dataset, identifier: str) -> _Inspected:
    found = _Inspected()
    for key in (dataset.input, *dataset.active_tasks):
        try:
            values = dataset.read(identifier, key)
        except DatasetError as error:
            found.faults.append((error.path, error.what))
            continue
        if key == dataset.input:
            # Only images and maps have a size.
            if isinstance(values, Tensor) and values.ndim > 1:
                height, width = values.shape[-2:]
                found.size = height, width
            continue
        path, task = dataset.file(identifier, key), dataset.active_tasks[key]
        if task.dense and found.size is not None and values.shape[-2:] != found.size:
            what = f"should have the size of its image, {found.size}; it has {tuple(values.shape[-2:])}"
            found.faults.append((path, what))
        target = task.finish(values.to(task.dtype))
        found.faults += [(path, fault) for fault in task.faults(target)]
        found.labels[key] = task.count_labels(target)
    return found

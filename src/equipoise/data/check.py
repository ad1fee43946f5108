"""Reads all of a dataset and tells what is in it and what is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equipoise.data.base import Dataset
from equipoise.data.files import DatasetError
from equipoise.data.registry import create, dataset_class
from equipoise.tasks import Task


@dataclass(frozen=True)
class Fault:
    """Something wrong with a dataset.

    Attributes:
        path: The file or directory.
        what: What is wrong with it.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass
class TaskSummary:
    """What the targets of one task hold in one split.

    Attributes:
        samples: How many samples have labels.
        labelled: How many pixels have labels.
        pixels: How many pixels there are.
        smallest: The smallest value of a labelled pixel (infinity where there is none).
        largest: The largest (minus infinity where there is none).
        total: The sum of the values of the labelled pixels.
        values: How many values that sum has (several for each pixel where a target has several channels).
        histogram: For a categorical task, the number of pixels of each class by name.
    """

    samples: int = 0
    labelled: int = 0
    pixels: int = 0
    smallest: float = float("inf")
    largest: float = float("-inf")
    total: float = 0.0
    values: int = 0
    histogram: Counter[str] = field(default_factory=Counter)

    @property
    def mean(self) -> float:
        """The mean value of the labelled pixels (NaN where there is none)."""
        return self.total / self.values if self.values else float("nan")

    def add(self, task: Task, target: Tensor) -> None:
        """Count in the target of one sample."""
        valid = task.valid(target)
        labels = target.masked_select(valid)
        self.samples += task.has_labels(target)
        self.labelled += int(valid.sum())
        self.pixels += valid.numel()
        if not labels.numel():
            return
        self.smallest = min(self.smallest, labels.min().item())
        self.largest = max(self.largest, labels.max().item())
        self.total += labels.double().sum().item()
        self.values += labels.numel()
        if task.classes:
            counts = torch.bincount(labels.clamp(0, len(task.classes)).long(), minlength=len(task.classes) + 1)
            self.histogram.update(dict(zip(task.classes, counts.tolist(), strict=False)))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain data; none where there is no labelled pixel."""
        some = self.labelled > 0
        return {
            "samples": self.samples,
            "labelled": self.labelled / self.pixels if self.pixels else None,
            "min": self.smallest if some else None,
            "max": self.largest if some else None,
            "mean": self.mean if some else None,
            "histogram": dict(self.histogram),
        }


@dataclass
class SplitSummary:
    """What a split holds.

    Attributes:
        samples: The number of samples.
        sizes: How many images there are of each (height, width).
        tasks: What the targets hold, by task.
    """

    samples: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    tasks: dict[str, TaskSummary] = field(default_factory=dict)


@dataclass
class Report:
    """What :func:`check` found.

    Attributes:
        dataset: The name of the dataset.
        splits: What each split holds.
        faults: What is wrong, without repetition, in the order it was met.
    """

    dataset: str
    splits: dict[str, SplitSummary] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def add_fault(self, path: Path, what: str) -> None:
        """Note a fault unless it is noted already (two tasks may be read from one file)."""
        fault = Fault(path, what)
        if fault not in self.faults:
            self.faults.append(fault)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data: samples by split, statistics by task, and a list of faults.

        Of a task: ``samples`` with labels, the fraction of ``labelled`` pixels, ``min``, ``max`` and ``mean`` over them
        (for yes or no the fraction of yes), and the ``histogram`` of pixels by class where there are classes.
        """
        splits = {
            split: {
                "samples": summary.samples,
                "sizes": [[height, width, count] for (height, width), count in sorted(summary.sizes.items())],
                "tasks": {name: task.to_json() for name, task in summary.tasks.items()},
            }
            for split, summary in self.splits.items()
        }
        faults = [{"file": str(fault.path), "what": fault.what} for fault in self.faults]
        return {"dataset": self.dataset, "splits": splits, "faults": faults}

    def __str__(self) -> str:
        lines = []
        for split, summary in self.splits.items():
            sizes = ", ".join(f"{width}x{height} ({count})" for (height, width), count in summary.sizes.items())
            lines.append(f"{self.dataset} {split}: {summary.samples} samples, {sizes}")
            for name, task in summary.tasks.items():
                share = task.labelled / max(task.pixels, 1)
                lines.append(
                    f"  {name}: {task.samples} samples, {share:.1%} of pixels labelled, "
                    f"{task.smallest:.4g} to {task.largest:.4g}, mean {task.mean:.4g}"
                )
        lines.append(f"{len(self.faults)} faults")
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])


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
        root: Its directory; may be left out for datasets that make themselves.
        splits: The splits to read, all by default.
        progress: Called with the number of samples read and of all samples of the split.
        **options: Options of the dataset.

    Returns:
        What is in it. Missing and damaged files, values that break the encoding of their task, and samples that
        are in two splits are its faults, not errors.

    Raises:
        ValueError: There is no such dataset, split or option.
    """
    report = Report(name)
    homes: dict[str, str] = {}
    for split in dataset_class(name).splits if splits is None else splits:
        try:
            dataset = create(name, root=root, split=split, keep_in_memory=False, **options)
        except DatasetError as error:
            report.add_fault(error.path, error.what)
            continue
        for identifier in dataset.identifiers:
            if identifier in homes:
                what = f"is in {homes[identifier]!r} and again in {split!r}"
                report.add_fault(dataset.file(identifier, "image"), what)
            homes[identifier] = split
        report.splits[split] = _read_all(dataset, report, progress)
    return report


def _read_all(dataset: Dataset, report: Report, progress: Callable[[int, int], None] | None) -> SplitSummary:
    summary = SplitSummary(len(dataset), tasks={name: TaskSummary() for name in dataset.active_tasks})
    for index, identifier in enumerate(dataset.identifiers):
        sizes = {}
        for key in ("image", *dataset.active_tasks):
            try:
                values = dataset.read(identifier, key)
            except DatasetError as error:
                report.add_fault(error.path, error.what)
                continue
            height, width = sizes[key] = values.shape[-2:]
            if key == "image":
                summary.sizes[height, width] += 1
                continue
            path, task = dataset.file(identifier, key), dataset.active_tasks[key]
            if "image" in sizes and sizes[key] != sizes["image"]:
                report.add_fault(
                    path, f"should have the size of its image, {tuple(sizes['image'])}; it has {height, width}"
                )
            target = values.to(task.dtype)
            for fault in task.faults(target):
                report.add_fault(path, fault)
            summary.tasks[key].add(task, target)
        if progress is not None:
            progress(index + 1, len(dataset))
    return summary

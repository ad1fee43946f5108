"""The result of checking a dataset."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.tasks import Task
from equipoise.tasks.label_statistics import LabelStatistics


@dataclass(frozen=True)
class Fault:
    """A fault of a dataset.

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
    """The targets of one task in one split.

    Attributes:
        task: The task.
        labels: The label statistics of all its targets.
    """

    task: Task
    labels: LabelStatistics = field(default_factory=LabelStatistics)

    @property
    def statistics(self) -> dict[str, Any]:
        """The statistics of this kind of task, see `equipoise.tasks.Task.statistics`."""
        return self.task.statistics(self.labels)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        labels = self.labels
        labelled = labels.labelled / labels.pixels if labels.pixels else None
        return {"kind": self.task.kind, "samples": labels.samples, "labelled": labelled, **self.statistics}

    def __str__(self) -> str:
        words = [f"{self.labels.samples} samples", f"{self.labels.labelled / max(self.labels.pixels, 1):.1%} labelled"]
        for name, value in self.statistics.items():
            if isinstance(value, dict):
                present = sum(1 for count in value.values() if count)
                words.append(f"{present} of {len(value)} classes present")
            elif isinstance(value, list):
                words.append(f"{name} ({', '.join(f'{one:.4g}' for one in value)})")
            else:
                words.append(f"{name} {value:.4g}")
        return ", ".join(words)


@dataclass
class SplitSummary:
    """The content of a split.

    Attributes:
        samples: The number of samples.
        sizes: The number of inputs by (height, width), if they have one.
        tasks: The targets by task.
    """

    samples: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    tasks: dict[str, TaskSummary] = field(default_factory=dict)


@dataclass
class Report:
    """The result of `equipoise.data.check`.

    Attributes:
        dataset: The name of the dataset.
        splits: The content of each split.
    """

    dataset: str
    splits: dict[str, SplitSummary] = field(default_factory=dict)
    _faults: dict[Fault, None] = field(default_factory=dict, repr=False)

    @property
    def faults(self) -> list[Fault]:
        """All faults, each once, in the order in which they were found."""
        return list(self._faults)

    @property
    def ok(self) -> bool:
        """Whether there are no faults."""
        return not self._faults

    def add_fault(self, path: Path, what: str) -> None:
        """Add a fault unless it is there already. (Two tasks may be read from one file.)"""
        self._faults[Fault(path, what)] = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data: samples by split, statistics by task, and a list of faults.

        A task has its `kind`, the number of `samples` with labels, the fraction of `labelled` pixels, and the
        statistics of its kind, see `equipoise.tasks.Task.statistics`.
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
            sizes = [f"{width}x{height} ({count})" for (height, width), count in summary.sizes.most_common(5)]
            others = [f"{len(summary.sizes) - 5} other sizes"] if len(summary.sizes) > 5 else []
            lines.append(f"{self.dataset} {split}: {', '.join([f'{summary.samples} samples', *sizes, *others])}")
            lines += [f"  {name}: {task}" for name, task in summary.tasks.items()]
        lines.append(f"{len(self.faults)} faults")
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])

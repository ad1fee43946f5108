"""What a check of a dataset found."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.tasks import Task
from equipoise.tasks.label_statistics import LabelStatistics


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
        task: The task.
        labels: Statistics of all labels of the task.
    """

    task: Task
    labels: LabelStatistics = field(default_factory=LabelStatistics)

    @property
    def statistics(self) -> dict[str, Any]:
        """The numbers by which this kind of task is judged, see :meth:`equipoise.tasks.Task.statistics`."""
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
    """What a split holds.

    Attributes:
        samples: The number of samples.
        sizes: How many inputs there are of each (height, width), where they have one.
        tasks: What the targets hold, by task.
    """

    samples: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    tasks: dict[str, TaskSummary] = field(default_factory=dict)


@dataclass
class Report:
    """What :func:`equipoise.data.check` found.

    Attributes:
        dataset: The name of the dataset.
        splits: What each split holds.
    """

    dataset: str
    splits: dict[str, SplitSummary] = field(default_factory=dict)
    _faults: dict[Fault, None] = field(default_factory=dict, repr=False)

    @property
    def faults(self) -> list[Fault]:
        """What is wrong, without repetition, in the order it was met."""
        return list(self._faults)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self._faults

    def add_fault(self, path: Path, what: str) -> None:
        """Note a fault unless it is noted already (two tasks may be read from one file)."""
        self._faults[Fault(path, what)] = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data: samples by split, statistics by task, and a list of faults.

        Of every task: its ``kind``, the number of ``samples`` with labels, the fraction of pixels that are
        ``labelled``, and the statistics of its kind, see :meth:`equipoise.tasks.Task.statistics`.
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

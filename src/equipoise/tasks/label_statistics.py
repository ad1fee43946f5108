"""Statistics of the labels of many samples, as the check of a dataset collects them."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class LabelStatistics:
    """Sums over the labels of one task. `equipoise.tasks.Task.statistics` computes its numbers from them.

    Attributes:
        samples: Number of samples with labels.
        labelled: Number of labelled pixels (for a task with one label per input: of labelled inputs).
        pixels: Number of pixels.
        smallest: Smallest value of a labelled pixel; infinity if there is none.
        largest: Largest value of a labelled pixel; minus infinity if there is none.
        totals: Sum of the values of the labelled pixels for each channel; empty if there are none.
        classes: Number of labelled pixels of each class; empty if the task has no classes or no pixel is labelled.
    """

    samples: int = 0
    labelled: int = 0
    pixels: int = 0
    smallest: float = float("inf")
    largest: float = float("-inf")
    totals: list[float] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)

    @classmethod
    def of_target(
        cls, target: Tensor, valid: Tensor, *, has_labels: bool, dense: bool, classes: int
    ) -> "LabelStatistics":
        """Return the statistics of the target of one sample.

        Args:
            target: `[H, W]` or `[C, H, W]`; for a task with one label per input `[]` or `[C]`.
            valid: Which pixels have a label; broadcasts against the target.
            has_labels: Whether the sample counts as labelled.
            dense: Whether there is a label for every pixel.
            classes: Number of classes; 0 if the values are no classes.

        Example:
            >>> target = torch.tensor([[0, 1, 1, 255]])
            >>> found = LabelStatistics.of_target(target, target != 255, has_labels=True, dense=True, classes=3)
            >>> found.labelled, found.pixels, found.classes
            (3, 4, [1, 2, 0])
        """
        channels = target.shape[0] if target.ndim == (3 if dense else 1) else 1
        values = target.reshape(channels, -1)
        known = valid.expand_as(target).reshape(channels, -1).all(dim=0)
        labels = values[:, known]
        result = cls(samples=int(has_labels), labelled=labels.shape[1], pixels=values.shape[1])
        if labels.numel():
            smallest, largest = labels.aminmax()
            result.smallest, result.largest = smallest.item(), largest.item()
            result.totals = labels.sum(dim=1, dtype=torch.float64).tolist()
            if classes:
                inside = labels[(labels >= 0) & (labels < classes)].long()
                result.classes = torch.bincount(inside, minlength=classes).tolist()
        return result

    @property
    def means(self) -> list[float]:
        """Mean value of the labelled pixels for each channel; empty if there are none."""
        return [total / self.labelled for total in self.totals]

    def merge(self, other: "LabelStatistics") -> None:
        """Add the statistics of other samples."""
        self.samples += other.samples
        self.labelled += other.labelled
        self.pixels += other.pixels
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)
        self.totals = _added(self.totals, other.totals)
        self.classes = _added(self.classes, other.classes)


def _added(first: list[Any], second: list[Any]) -> list[Any]:
    return [a + b for a, b in zip(first, second, strict=True)] if first and second else first or second

"""What the labels of many samples add up to."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Tally:
    """Sums over the labels of one task, from which :meth:`equipoise.tasks.Task.statistics` are read.

    Attributes:
        samples: How many samples have labels.
        labelled: How many pixels have labels (of a task for the whole input: how many inputs).
        pixels: How many pixels there are.
        smallest: The smallest value of a labelled pixel (infinity where there is none).
        largest: The largest (minus infinity where there is none).
        totals: For every channel the sum of the values of the labelled pixels; empty where there is none.
        classes: For a task with classes, the number of labelled pixels of each; empty where there is none.
    """

    samples: int = 0
    labelled: int = 0
    pixels: int = 0
    smallest: float = float("inf")
    largest: float = float("-inf")
    totals: list[float] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)

    @property
    def means(self) -> list[float]:
        """For every channel the mean value of the labelled pixels; empty where there is none."""
        return [total / self.labelled for total in self.totals]

    def merge(self, other: "Tally") -> None:
        """Count in what another tally counted."""
        self.samples += other.samples
        self.labelled += other.labelled
        self.pixels += other.pixels
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)
        self.totals = _added(self.totals, other.totals)
        self.classes = _added(self.classes, other.classes)


def tally(target: Tensor, valid: Tensor, has_labels: bool, dense: bool, classes: int) -> Tally:
    """Count the target of one sample.

    Args:
        target: ``[H, W]``, ``[C, H, W]``, or for the whole input ``[]`` or ``[C]``.
        valid: Which pixels have a label; broadcasts against the target.
        has_labels: Whether the sample counts as labelled.
        dense: Whether there is a label for every pixel.
        classes: How many classes there are; 0 if values are no classes.
    """
    channels = target.shape[0] if target.ndim == (3 if dense else 1) else 1
    values = target.reshape(channels, -1)
    known = valid.expand_as(target).reshape(channels, -1).all(dim=0)
    labels = values[:, known]
    result = Tally(samples=int(has_labels), labelled=labels.shape[1], pixels=values.shape[1])
    if labels.numel():
        smallest, largest = labels.aminmax()
        result.smallest, result.largest = smallest.item(), largest.item()
        result.totals = labels.sum(dim=1, dtype=torch.float64).tolist()
        if classes:
            inside = labels[(labels >= 0) & (labels < classes)].long()
            result.classes = torch.bincount(inside, minlength=classes).tolist()
    return result


def _added(first: list[Any], second: list[Any]) -> list[Any]:
    return [a + b for a, b in zip(first, second, strict=True)] if first and second else first or second

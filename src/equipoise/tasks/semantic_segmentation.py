"""Semantic segmentation: one class for every pixel."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise.metrics import MeanIoU
from equipoise.tasks.base import Task, at_least_float32
from equipoise.tasks.colours import distinct_colours, paint


@dataclass(frozen=True, kw_only=True)
class SemanticSegmentation(Task):
    """One of several classes for every pixel; targets are int64 ``[H, W]`` class indices, 255 where unlabelled.

    The loss is the cross entropy of the logits, averaged over the labelled pixels of the batch (paper one, section V).

    Attributes:
        colours: The colour (RGB, 0 to 255) of each class in pictures; chosen to be distinct where not given.

    Raises:
        ValueError: There are no classes or too many for the encoding, or the colours do not match them.

    Examples:
        >>> task = SemanticSegmentation(name="seg", classes=("wall", "floor"))
        >>> target = torch.tensor([[[0, 1, 255]]])
        >>> task.loss(torch.zeros(1, 2, 1, 3), target)
        tensor(0.6931)
    """

    colours: tuple[tuple[int, int, int], ...] = ()

    kind = "semantic_segmentation"
    dtype = torch.int64
    ignore: ClassVar[float | int] = 255
    metric = "miou"
    higher_is_better = True

    def __post_init__(self) -> None:
        if not 0 < len(self.classes) <= self.ignore:
            raise ValueError(f"`classes` should hold 1 to 255 names. Found `len(classes) = {len(self.classes)}`.")
        if self.colours and len(self.colours) != len(self.classes):
            raise ValueError(
                f"`colours` should have one entry for each of the {len(self.classes)} classes. "
                f"Found `len(colours) = {len(self.colours)}`."
            )

    @property
    def channels(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels carry a class."""
        return target != self.ignore

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean cross entropy over the labelled pixels."""
        total = functional.cross_entropy(
            at_least_float32(prediction), target, ignore_index=int(self.ignore), reduction="sum"
        )
        # The reduction "mean" of PyTorch divides by zero where no pixel is labelled.
        return total / self.valid(target).sum().clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        """Return the mean intersection over union of all classes."""
        return {"miou": MeanIoU(self.channels, ignore_index=int(self.ignore))}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the most likely class of every pixel, int64 ``[B, H, W]``."""
        return prediction.argmax(dim=1)

    def draw(self, target: Tensor) -> Tensor:
        """Return the classes in their colours, black where unlabelled."""
        palette = (*(self.colours or distinct_colours(self.channels)), (0, 0, 0))
        return paint(target.where(self.valid(target), self.channels), palette)

    def faults(self, target: Tensor) -> list[str]:
        """Return the labels that are no class."""
        wrong = target[self.valid(target) & ((target < 0) | (target >= self.channels))]
        if not wrong.numel():
            return []
        labels = ", ".join(str(label) for label in wrong.unique().tolist())
        return [f"labels should be below {self.channels} or {self.ignore}; found {labels} on {wrong.numel()} pixels"]

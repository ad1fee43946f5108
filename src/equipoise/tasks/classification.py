"""Classification: one class for the whole input."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.metrics import PixelAccuracy
from equipoise.tasks.base import Task, at_least_float32
from equipoise.tasks.drawing import text_image


@register("classification")
@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """One of several classes for the whole input. A target is an int64 scalar, the index of the class, -1 if unknown.

    The loss is the cross entropy of the logits, averaged over the labelled samples of the batch. (The networks of
    Gama & Grassi (2025) end in a log-softmax and are trained with the negative log-likelihood: the loss is the same.)

    Raises:
        ValueError: There are no classes.

    Example:
        >>> task = Classification(name="animal", classes=("cat", "dog"))
        >>> task.loss(torch.zeros(3, 2), torch.tensor([0, 1, -1]))
        tensor(0.6931)
    """

    dtype = torch.int64
    # Not 255: there may be more classes than in maps stored in 8 bits.
    ignore: ClassVar[float | int] = -1
    metric = "accuracy"
    higher_is_better = True
    dense = False

    def __post_init__(self) -> None:
        require(bool(self.classes), "classes", self.classes, "hold at least one name")

    @property
    def channels(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def valid(self, target: Tensor) -> Tensor:
        """Return which samples have a class."""
        return target != self.ignore

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean cross entropy over the labelled samples. The prediction is `[B, classes]`."""
        total = functional.cross_entropy(
            at_least_float32(prediction), target, ignore_index=int(self.ignore), reduction="sum"
        )
        return total / self.valid(target).sum().clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        """Return the accuracy: the share of samples whose most likely class is right, in percent."""
        return {"accuracy": PixelAccuracy(self.channels, ignore_index=int(self.ignore))}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the most likely class of every sample, int64 `[B]`."""
        return prediction.argmax(dim=1)

    def draw(self, target: Tensor) -> Tensor:
        """Return a picture of the name of the class; an empty one if the label is unknown or no class."""
        return text_image("" if self.faults(target) or not self.valid(target) else self.classes[int(target)])

    def from_text(self, text: str) -> Tensor:
        """Return the class with that name, or else with that index."""
        if text in self.classes:
            return torch.tensor(self.classes.index(text))
        if text.isdecimal() and int(text) < self.channels:
            return torch.tensor(int(text))
        raise ValueError(
            f"a label of `{self.name}` should be one of {', '.join(self.classes)}, or an index. Found {text!r}"
        )

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if the label is no class."""
        label = int(target)
        good = label == self.ignore or 0 <= label < self.channels
        return [] if good else [f"a label should be below {self.channels}, or {self.ignore}; found {label}"]

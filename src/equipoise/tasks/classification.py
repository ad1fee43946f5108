"""Classification: one class for the whole input."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import PixelAccuracy
from equipoise.tasks.base import Task, at_least_float32
from equipoise.tasks.drawing import written


@register("classification")
@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """One of several classes for the whole input; a target is an int64 scalar, the index of the class, -1 if unknown.

    The loss is the cross entropy of the logits, averaged over the labelled samples of the batch. (Networks that end in
    a log-softmax and are trained with the negative log-likelihood, as those of P2, have the same loss.)

    Raises:
        ValueError: There are no classes.

    Examples:
        >>> task = Classification(name="animal", classes=("cat", "dog"))
        >>> task.loss(torch.zeros(3, 2), torch.tensor([0, 1, -1]))
        tensor(0.6931)
    """

    kind = "classification"
    dtype = torch.int64
    # No limit of 255 classes, as maps have that are stored in 8 bits.
    ignore: ClassVar[float | int] = -1
    metric = "accuracy"
    higher_is_better = True
    dense = False

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("`classes` should hold a name at least. Found `classes = ()`.")

    @property
    def channels(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def valid(self, target: Tensor) -> Tensor:
        """Return which samples carry a class."""
        return target != self.ignore

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean cross entropy over the labelled samples; ``prediction`` is ``[B, classes]``."""
        total = functional.cross_entropy(
            at_least_float32(prediction), target, ignore_index=int(self.ignore), reduction="sum"
        )
        return total / self.valid(target).sum().clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        """Return the share of samples whose most likely class is the right one, in percent."""
        return {"accuracy": PixelAccuracy(self.channels, ignore_index=int(self.ignore))}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the most likely class of every sample, int64 ``[B]``."""
        return prediction.argmax(dim=1)

    def draw(self, target: Tensor) -> Tensor:
        """Return the name of the class, in letters; nothing where it is unknown, or no class."""
        return written("" if self.faults(target) or not self.valid(target) else self.classes[int(target)])

    def from_text(self, text: str) -> Tensor:
        """Return the class of that name, else of that index."""
        if text in self.classes:
            return torch.tensor(self.classes.index(text))
        if text.isdecimal() and int(text) < self.channels:
            return torch.tensor(int(text))
        raise ValueError(
            f"a label of `{self.name}` should be one of {', '.join(self.classes)}, or an index. Found {text!r}"
        )

    def faults(self, target: Tensor) -> list[str]:
        """Return whether the label is no class."""
        label = int(target)
        good = label == self.ignore or 0 <= label < self.channels
        return [] if good else [f"a label should be below {self.channels}, or {self.ignore}; found {label}"]

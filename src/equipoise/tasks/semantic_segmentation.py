"""Semantic segmentation and parts: one class for every pixel."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import MeanIoU, PixelAccuracy
from equipoise.tasks.base import Task, at_least_float32, check_whole
from equipoise.tasks.drawing import distinct_colours, paint

_CORRUPTED_CLASSES = 5
"""The number of classes of an image that get wrong labels in `corrupt`."""


@register("semantic_segmentation")
@dataclass(frozen=True, kw_only=True)
class SemanticSegmentation(Task):
    """One of several classes for every pixel. Targets are int64 `[H, W]` class indices, 255 where unlabelled.

    The loss is the cross entropy of the logits, averaged over the labelled pixels of the batch (Guo et al. (2025),
    section V).

    Attributes:
        colours: The colour (RGB, 0 to 255) of each class in pictures; distinct colours if not given.

    Raises:
        ValueError: There are no classes, or too many for the encoding, or the number of colours is not theirs.

    Example:
        >>> task = SemanticSegmentation(name="seg", classes=("wall", "floor"))
        >>> target = torch.tensor([[[0, 1, 255]]])
        >>> task.loss(torch.zeros(1, 2, 1, 3), target)
        tensor(0.6931)
    """

    colours: tuple[tuple[int, int, int], ...] = ()

    dtype = torch.int64
    ignore: ClassVar[float | int] = 255
    metric = "miou"
    higher_is_better = True
    noise = 0.5

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

    @property
    def categories(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def categorise(self, target: Tensor) -> Tensor:
        """Return the labels as they are: classes, 255 where unlabelled."""
        return target

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a class."""
        return target != self.ignore

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean cross entropy over the labelled pixels."""
        total = functional.cross_entropy(
            at_least_float32(prediction), target, ignore_index=int(self.ignore), reduction="sum"
        )
        # The reduction "mean" of PyTorch divides by zero if no pixel is labelled.
        return total / self.valid(target).sum().clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        """Return the mean intersection over union of all classes, and the share of pixels with the right class."""
        ignore = int(self.ignore)
        return {"miou": MeanIoU(self.channels, ignore), "pixel_accuracy": PixelAccuracy(self.channels, ignore)}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the most likely class of every pixel, int64 `[B, H, W]`."""
        return prediction.argmax(dim=1)

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the target with a share `strength` of the pixels of some classes in wrong classes.

        As in Guo et al. (2025), section V-F: five random classes of those in the image (or all, if there are fewer)
        get wrong labels. Of each, that share of its pixels, rounded, is drawn. Each of these gets any of the other
        classes with equal probability.
        """
        labels, wrong = target.flatten(), target.flatten().clone()
        (present,) = torch.bincount(labels[self.valid(labels)]).nonzero(as_tuple=True)
        for label in present[torch.randperm(len(present), generator=generator)[:_CORRUPTED_CLASSES]]:
            (pixels,) = (labels == label).nonzero(as_tuple=True)
            hit = pixels[torch.randperm(len(pixels), generator=generator)[: round(strength * len(pixels))]]
            if self.channels > 1:
                wrong[hit] = (label + torch.randint(1, self.channels, hit.shape, generator=generator)) % self.channels
        return wrong.reshape(target.shape)

    def draw(self, target: Tensor) -> Tensor:
        """Return the classes in their colours, black where unlabelled or where the label is no class."""
        palette = (*(self.colours or distinct_colours(self.channels)), (0, 0, 0))
        return paint(target.where((target >= 0) & (target < self.channels), self.channels), palette)

    def from_map(self, values: Tensor) -> Tensor:
        """Return class indices from a map of one channel."""
        if len(values) != 1:
            raise ValueError(f"should have one channel of class indices; it has {len(values)}")
        check_whole(values)
        return values[0].to(self.dtype)

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are labels that are no class."""
        wrong = target[self.valid(target) & ((target < 0) | (target >= self.channels))]
        if not wrong.numel():
            return []
        labels = ", ".join(str(label) for label in wrong.unique().tolist())
        return [f"labels should be below {self.channels} or {self.ignore}; found {labels} on {wrong.numel()} pixels"]


@register("parts")
@dataclass(frozen=True, kw_only=True)
class Parts(SemanticSegmentation):
    """The parts of people or objects. Class 0 is the background.

    This is segmentation with one difference: an image without any part counts as unlabelled. The public recipes for
    PASCAL-Context do the same: there, a map of background alone means that nobody annotated the parts of that image.

    Example:
        >>> import torch
        >>> task = Parts(name="parts", classes=("background", "head", "torso"))
        >>> task.has_labels(torch.tensor([[0, 0, 255]])), task.has_labels(torch.tensor([[0, 2, 255]]))
        (False, True)
    """

    def has_labels(self, target: Tensor) -> bool:
        """Return whether any pixel shows a part."""
        return bool((self.valid(target) & (target > 0)).any())

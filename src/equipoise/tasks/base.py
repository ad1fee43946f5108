"""The contract of a task, the registry of kinds, and helpers that kinds share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise._core.errors import require
from equipoise._core.registry import Registry
from equipoise.tasks.label_statistics import LabelStatistics

UNLABELLED = 255
"""The category of a pixel without a label, see `Task.categorise`."""


@dataclass(frozen=True)
class Output:
    """The output that a network must have for a task.

    Attributes:
        channels: The number of values for every pixel, or for the whole input.
        dense: Whether there is a prediction for every pixel, `[B, channels, H, W]`, or one for the whole input,
            `[B, channels]`.
        categories: The number of categories that `Task.categorise` sorts labels into, for networks that use labels as
            classes on the way; none if the task has no such rule.

    Raises:
        ValueError: `channels` is not positive.
    """

    channels: int
    dense: bool = True
    categories: int | None = None

    def __post_init__(self) -> None:
        require(self.channels >= 1, "channels", self.channels, "be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One thing that a network predicts, and everything that the rest of the code must know about it.

    Targets have a fixed encoding: the type `dtype`, with the value `ignore` where there is no label. The target of one
    sample has the shape `[H, W]` (class indices) or `[C, H, W]`; a batch has one more axis in front. If the task has
    one label for the whole input (`dense` is false), the shapes are `[]` and `[C]`. A method whose argument is
    "the target" takes both a sample and a batch.

    A subclass must define `ignore`, `metric`, `higher_is_better` and the abstract methods. All other methods have
    defaults that suit most tasks.

    Attributes:
        name: The name of the task in samples, predictions and tables, for example `"seg"`.
        classes: The names of the classes of a categorical task, in the order of their indices; empty otherwise.
        every_metric: Whether tables and delta_m contain all metrics of the task (Gama & Grassi (2025), section 5)
            instead of the main one alone.

    Example:
        >>> import equipoise.tasks
        >>> task = equipoise.tasks.create("depth", name="distance")
        >>> task.kind, task.channels, task.metric
        ('depth', 1, 'rmse')
    """

    name: str
    classes: tuple[str, ...] = ()
    every_metric: bool = False

    dtype: ClassVar[torch.dtype] = torch.float32
    """The type of a target."""
    ignore: ClassVar[float | int]
    """The value of an unlabelled pixel in a target; padding is filled with it."""
    metric: ClassVar[str]
    """The name of the main metric."""
    higher_is_better: ClassVar[bool]
    """Whether higher values of the main metric are better."""

    dense: ClassVar[bool] = True
    """Whether there is a label for every pixel, or one for the whole input (targets of the shape `[]` or `[C]`)."""
    noise: ClassVar[float | None] = None
    """The default strength of `corrupt`; none if the task has no rule for wrong labels."""

    @property
    def kind(self) -> str:
        """The name under which the class of the task is registered; the name of the class if it is not."""
        return next((name for name, found in kinds.items() if found is type(self)), type(self).__name__)

    @property
    @abstractmethod
    def channels(self) -> int:
        """The number of channels that a network predicts."""

    @property
    def categories(self) -> int | None:
        """The number of categories that `categorise` sorts labels into; none if it does not."""
        return None

    @property
    def output(self) -> Output:
        """The output that a network must have."""
        return Output(self.channels, self.dense, self.categories)

    def categorise(self, target: Tensor) -> Tensor:
        """Return the labels of a batch as classes below `categories`, int64 `[B, H, W]`, 255 where unlabelled.

        Raises:
            ValueError: The labels of this task do not fall into categories.
        """
        raise ValueError(f"The labels of `{self.name}` ({self.kind}) do not fall into categories.")

    @abstractmethod
    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a label: a boolean tensor that broadcasts against the target."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            prediction: The output of the network, `[B, channels, H, W]`. The loss is computed in float32 (or
                float64), whatever the type of the prediction.
            target: The labels of the batch.

        Returns:
            A scalar. If no pixel is labelled, it is a zero that still depends on the prediction.
        """

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Return new metric objects by name, the main one first.

        Each is updated with `(task.activate(prediction), target)`: probabilities, not logits; no negative depths.
        Metrics that are not in `compared` are recorded beside the others.
        """

    @property
    def compared(self) -> dict[str, bool]:
        """The metrics in tables and delta_m, the main one first, each with whether higher values are better."""
        if not self.every_metric:
            return {self.metric: self.higher_is_better}
        return {name: bool(metric.higher_is_better) for name, metric in self.metrics().items()}

    def while_training(self) -> Self:
        """Return the task with metrics that are cheap enough to compute during training; by default the task itself."""
        return self

    @abstractmethod
    def activate(self, prediction: Tensor) -> Tensor:
        """Return the output of a network, `[B, channels, H, W]`, in the form that metrics and `draw` take.

        This is the encoding of the targets, except that a yes or no becomes a probability.
        """

    @abstractmethod
    def draw(self, target: Tensor) -> Tensor:
        """Return a picture, uint8 `[3, H, W]` on the CPU, of the target or activated prediction of one sample."""

    @abstractmethod
    def faults(self, target: Tensor) -> list[str]:
        """Return a sentence for each fault in the encoding of the target of one sample; empty if there is none."""

    def from_map(self, values: Tensor) -> Tensor:
        """Return the target of a sample from the content of a label file, for the dataset `folder`.

        Args:
            values: `[C, H, W]`: bytes as in an image, or numbers of another type that are used as they are.

        Raises:
            ValueError: The number of channels is not that of the task.
        """
        if len(values) != self.channels:
            raise ValueError(f"should have {self.channels} channels for `{self.name}`; it has {len(values)}")
        return values.to(self.dtype)

    def from_text(self, text: str) -> Tensor:
        """Return the target of a sample from a cell of a table, for the dataset `folder`.

        Raises:
            ValueError: The text is no label of this task.
        """
        raise ValueError(f"labels of `{self.name}` ({self.kind}) are maps, no words. Found {text!r}")

    def count_labels(self, target: Tensor) -> LabelStatistics:
        """Return the label statistics of the target of one sample, to be merged with those of others."""
        return LabelStatistics.of_target(
            target,
            self.valid(target),
            has_labels=self.has_labels(target),
            dense=self.dense,
            classes=len(self.classes),
        )

    def statistics(self, labels: LabelStatistics) -> dict[str, Any]:
        """Return numbers, as plain data, that show whether the labels of a dataset are as expected.

        For a task with classes this is the number of pixels of each class; otherwise the smallest, largest and mean
        label. The mean is a list over channels if there are several. Without any label the result is empty.
        """
        if not labels.labelled:
            return {}
        if self.classes:
            return {"histogram": dict(zip(self.classes, labels.classes, strict=True))}
        mean = labels.means if len(labels.means) > 1 else labels.means[0]
        return {"min": labels.smallest, "max": labels.largest, "mean": mean}

    def has_labels(self, target: Tensor) -> bool:
        """Return whether the target has any label. Meant for loaders: it waits for the device."""
        return bool(self.valid(target).any())

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the target of one sample with wrong labels. Unlabelled pixels stay unlabelled.

        Args:
            target: The target as it was read, on the CPU, with labels.
            strength: The share of labels to change, or the standard deviation of the noise in the unit of the labels.
                At 0 the target does not change.
            generator: The source of random numbers. The same state gives the same result.

        Raises:
            ValueError: This kind of task has no rule for wrong labels (`noise` is none).
        """
        raise ValueError(f"The labels of `{self.name}` ({self.kind}) have no rule of corruption.")

    def finish(self, target: Tensor) -> Tensor:
        """Return the target of one sample, after all transforms, in the form that losses and metrics take.

        By default this is the target itself. Override it for labels that depend on what the transforms left of the
        sample: datasets read, and transforms change, another form then. Both forms mark unlabelled pixels alike.
        """
        return target

    def flip(self, target: Tensor) -> Tensor:
        """Return the target of the mirror image (left and right exchanged)."""
        return target.flip(-1)

    def zoom(self, target: Tensor, factor: float) -> Tensor:
        """Return the target after the camera moved `factor` times nearer, before any resampling.

        This rule changes values, not positions. An enlarged image is taken for a nearer scene: depths change, most
        other labels do not.
        """
        return target

    def flatten(self, target: Tensor, factor: float) -> Tensor:
        """Return the target after the scene was flattened along the viewing axis, before any resampling.

        All depths are divided by `factor` while x and y stay. This is exactly the scene that an enlarged image shows.
        It differs from `zoom` only for labels that depend on slopes.
        """
        return self.zoom(target, factor)

    def rotate(self, target: Tensor, degrees: float) -> Tensor:
        """Return the target after the picture was turned counter-clockwise, before any resampling.

        This rule changes values, not positions: those of labels that are directions in the image.
        """
        return target

    def resize(self, target: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the target of one sample, resampled to `size = (height, width)`.

        Labels are never mixed: each pixel takes the nearest one. Distances are measured between pixel centres, so that
        labels stay in place when the image is resampled bilinearly. (OpenCV's nearest, which the public recipes use,
        measures from the corner. It is half a source pixel off when it shrinks.)
        """
        planes = target.reshape(1, -1, *target.shape[-2:])
        # `interpolate` takes no integers on every device; class indices are exact in float32.
        resized = functional.interpolate(planes.float(), size=size, mode="nearest-exact")
        return resized.to(target.dtype).reshape(*target.shape[:-2], *size)


kinds: Registry[Task] = Registry("kind", Task, package="equipoise.tasks", group="equipoise.tasks")
"""The kinds of tasks by name."""


def check_whole(values: Tensor) -> None:
    """Check that all values are whole numbers.

    Raises:
        ValueError: They are not. The message lacks a subject: the caller names the file.
    """
    wrong = values[values != values.round()]
    if wrong.numel():
        raise ValueError(f"should hold whole numbers; it holds {wrong[0].item():g} and {wrong.numel() - 1} more")


def at_least_float32(prediction: Tensor) -> Tensor:
    """Return a prediction in float32, or in float64 if it was.

    Half precision is too coarse for a sum over pixels.
    """
    return prediction.to(torch.promote_types(prediction.dtype, torch.float32))


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the sum of `values` over the valid pixels, divided by their number; zero if there are none.

    The count stays on the device, so that the host does not wait.

    Args:
        values: Values of any shape. Those of invalid pixels do not matter: they may be NaN or infinite.
        valid: Which pixels count. It broadcasts against `values` and may have fewer channels; the divisor is the
            number of its true entries.

    Example:
        >>> masked_mean(torch.tensor([1.0, torch.nan, 2.0]), torch.tensor([True, False, True]))
        tensor(1.5000)
    """
    return torch.where(valid, values, 0).sum() / valid.sum().clamp(min=1)

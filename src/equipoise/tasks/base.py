"""The contract of a task."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise.tasks.label_statistics import Tally, tally

UNLABELLED = 255
"""The category of a pixel without a label, see :meth:`Task.categorise`."""


@dataclass(frozen=True)
class Output:
    """What a network must put out for a task.

    Attributes:
        channels: The number of values for every pixel, or for the whole input.
        dense: Whether there is a prediction for every pixel, ``[B, channels, H, W]``, or one for the whole input,
            ``[B, channels]``.
        categories: How many categories the labels fall into by :meth:`Task.categorise`, for networks that use labels
            as classes on the way; none if they cannot be told apart so.

    Raises:
        ValueError: ``channels`` is not positive.
    """

    channels: int
    dense: bool = True
    categories: int | None = None

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"`channels` should be 1 or more. Found `channels = {self.channels}`.")


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One thing that a network predicts, mostly for every pixel, and all that the rest of the code must know about it.

    Targets are written in a fixed encoding (``dtype``, ``ignore`` where there is no label). A target of one sample has
    the shape ``[H, W]`` (class indices) or ``[C, H, W]``; a batch has one axis more in front. Methods that say
    "target" without more take both.

    Attributes:
        name: How the task is called in samples, predictions and tables, for example ``"seg"``.
        classes: The names of the classes of a categorical task, in the order of their indices; empty otherwise.
        every_metric: Whether all metrics stand in tables and in delta_m (P2, section 5), not the main one alone.
    """

    name: str
    classes: tuple[str, ...] = ()
    every_metric: bool = False

    kind: ClassVar[str]
    """The name of the kind, which is the name of its file."""
    dtype: ClassVar[torch.dtype] = torch.float32
    """The type of a target."""
    ignore: ClassVar[float | int]
    """How a pixel without a label is written in a target; padding is filled with it."""
    metric: ClassVar[str]
    """The name of the main metric."""
    higher_is_better: ClassVar[bool]
    """Whether more of the main metric is better."""

    dense: ClassVar[bool] = True
    """Whether there is a label for every pixel or one for the whole input (targets of the shape ``[]`` or ``[C]``)."""
    noise: ClassVar[float | None] = None
    """How strongly :meth:`corrupt` disturbs labels where nothing else is asked for; none if it has no rule for them."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """The number of channels that a network predicts."""

    @property
    def categories(self) -> int | None:
        """How many categories :meth:`categorise` sorts labels into, if it does."""
        return None

    @property
    def output(self) -> Output:
        """What a network must put out."""
        return Output(self.channels, self.dense, self.categories)

    def categorise(self, target: Tensor) -> Tensor:
        """Return the labels of a batch as classes below ``categories``, int64 ``[B, H, W]``, 255 where unlabelled.

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
            prediction: ``[B, channels, H, W]``, as the network puts it out. The loss is computed in float32 (or
                float64) whatever its type.
            target: The labels of the batch.

        Returns:
            A scalar. Without a single labelled pixel it is a zero that still depends on the prediction.
        """

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Return new metric objects by name, the main one first.

        Each is updated with ``(task.activate(prediction), target)``: probabilities, not logits; no negative depths.
        Those that are not ``compared`` are kept beside the others.
        """

    @property
    def compared(self) -> dict[str, bool]:
        """The metrics that stand in tables and in delta_m, the main one first, and whether more of each is better."""
        if not self.every_metric:
            return {self.metric: self.higher_is_better}
        return {name: bool(metric.higher_is_better) for name, metric in self.metrics().items()}

    def while_training(self) -> Self:
        """Return the task with metrics that are cheap enough to watch a training run; by default they all are."""
        return self

    @abstractmethod
    def activate(self, prediction: Tensor) -> Tensor:
        """Turn the output of a network, ``[B, channels, H, W]``, into what metrics and :meth:`draw` take.

        It is in the encoding of the targets, except that a yes or no becomes a probability.
        """

    @abstractmethod
    def draw(self, target: Tensor) -> Tensor:
        """Return a picture, uint8 ``[3, H, W]`` on the CPU, of the target (or activated prediction) of one sample."""

    @abstractmethod
    def faults(self, target: Tensor) -> list[str]:
        """Return what breaks the encoding in the target of one sample, in words; an empty list where all is well."""

    def from_map(self, values: Tensor) -> Tensor:
        """Turn what somebody's label file holds into the target of a sample, for the dataset `folder`.

        Args:
            values: ``[C, H, W]``: bytes as an image has them, or numbers of another type that mean what they say.

        Raises:
            ValueError: They have another number of channels than the task.
        """
        if len(values) != self.channels:
            raise ValueError(f"should have {self.channels} channels for `{self.name}`; it has {len(values)}")
        return values.to(self.dtype)

    def from_text(self, text: str) -> Tensor:
        """Turn what somebody's table says of a sample into its target, for the dataset `folder`.

        Raises:
            ValueError: The text is no label of this task.
        """
        raise ValueError(f"labels of `{self.name}` ({self.kind}) are maps, no words. Found {text!r}")

    def tally(self, target: Tensor) -> Tally:
        """Return what the target of one sample has in it, to be merged with that of others."""
        return tally(target, self.valid(target), self.has_labels(target), self.dense, len(self.classes))

    def statistics(self, tally: Tally) -> dict[str, Any]:
        """Return numbers that tell whether the labels of a dataset are as they should be, by name, as plain data.

        The number of pixels by class where there are classes; otherwise the smallest, largest and mean label, the mean
        by channel where there are several. Nothing where nothing is labelled.
        """
        if not tally.labelled:
            return {}
        if self.classes:
            return {"histogram": dict(zip(self.classes, tally.classes, strict=True))}
        mean = tally.means if len(tally.means) > 1 else tally.means[0]
        return {"min": tally.smallest, "max": tally.largest, "mean": mean}

    def has_labels(self, target: Tensor) -> bool:
        """Return whether a target has anything to learn from. Waits for the device; meant for loaders."""
        return bool(self.valid(target).any())

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the target of one sample with wrong labels; what is unlabelled stays so.

        Args:
            target: As it was read, on the CPU, with labels.
            strength: How wrong: the share of labels to change, or the standard deviation of a disturbance in the unit
                of the labels. At 0 the target stays as it is.
            generator: Where chance comes from; the same state gives the same result.

        Raises:
            ValueError: This kind of task has no rule for that (``noise`` is none).
        """
        raise ValueError(f"The labels of `{self.name}` ({self.kind}) have no rule of corruption.")

    def finish(self, target: Tensor) -> Tensor:
        """Turn the target of one sample, after all transforms, into what losses and metrics take; mostly the same.

        For labels that depend on what a transform left of a sample. A dataset reads, and transforms act on, what comes
        before; both forms mark the unlabelled alike.
        """
        return target

    def flip(self, target: Tensor) -> Tensor:
        """Return the target of the mirror image (left and right exchanged)."""
        return target.flip(-1)

    def zoom(self, target: Tensor, factor: float) -> Tensor:
        """Return the target after the camera went ``factor`` times nearer, before any resampling.

        This is a rule for values, not for positions: enlarging an image is taken as nearness, which changes a depth
        and leaves most other labels as they are.
        """
        return target

    def flatten(self, target: Tensor, factor: float) -> Tensor:
        """Return the target after the scene was flattened along the viewing axis, before any resampling.

        All depths are divided by ``factor`` while x and y stay, which is what an enlarged image shows exactly. Another
        rule than :meth:`zoom` for those labels alone that depend on slopes.
        """
        return self.zoom(target, factor)

    def rotate(self, target: Tensor, degrees: float) -> Tensor:
        """Return the target after the picture was turned counter-clockwise, before any resampling.

        A rule for values, not for positions: it concerns labels that are directions in the image.
        """
        return target

    def resize(self, target: Tensor, size: tuple[int, int]) -> Tensor:
        """Resample the target of one sample to ``size = (height, width)`` without changing what its values mean.

        Labels are never mixed: the nearest pixel is taken, counted between pixel centres, which keeps labels in place
        under the bilinear resampling of the image. (OpenCV's nearest, used by the public recipes, counts from the
        corner and is half a source pixel off when it shrinks.)
        """
        planes = target.reshape(1, -1, *target.shape[-2:])
        # `interpolate` takes no integers on every device; class indices are exact in float32.
        resized = functional.interpolate(planes.float(), size=size, mode="nearest-exact")
        return resized.to(target.dtype).reshape(*target.shape[:-2], *size)


def same_shape(prediction: Tensor, target: Tensor) -> None:
    """Check that a prediction and its target fit; silent broadcasting would average over the wrong pixels.

    Raises:
        ValueError: They do not.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"`prediction` and `target` should have the same shape. Found `prediction.shape = "
            f"{tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
        )


def check_whole(values: Tensor) -> None:
    """Raise a ValueError unless all values are whole numbers."""
    wrong = values[values != values.round()]
    if wrong.numel():
        raise ValueError(f"should hold whole numbers; it holds {wrong[0].item():g} and {wrong.numel() - 1} more")


def at_least_float32(prediction: Tensor) -> Tensor:
    """Return a prediction in float32, or in float64 where it was: half precision is too coarse for a sum of pixels."""
    return prediction.to(torch.promote_types(prediction.dtype, torch.float32))


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the sum of ``values`` where ``valid`` over the number of valid pixels; zero where there is none.

    ``valid`` may have fewer channels than ``values`` (it broadcasts): the divisor counts the entries of ``valid``.
    The count stays on the device, so nothing waits for it.
    """
    return torch.where(valid, values, 0).sum() / valid.sum().clamp(min=1)

"""Cropping and padding."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.data.core.sample import IMAGENET_MEAN, Sample
from equipoise.data.transforms.compose import check_size, colour, targets
from equipoise.tasks import Task

REDRAWS = 10
"""How often `RandomWindow` draws again at most."""


@dataclass(frozen=True)
class Pad:
    """Pads the sample to a larger canvas, in its middle. An odd pixel goes to the right and the bottom.

    Targets are filled with the value that their task ignores, the image with ImageNet's mean colour (which a later
    `Normalize` makes zero). A sample that is large enough is returned unchanged.

    Attributes:
        size: The smallest height and width of the result.

    Raises:
        ValueError: `size` is not two positive numbers.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        check_size(self.size)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample on its canvas."""
        image = sample["image"]
        missing = [max(0, wanted - length) for wanted, length in zip(self.size, image.shape[-2:], strict=True)]
        if not any(missing):
            return sample
        (top, bottom), (left, right) = ((gap // 2, gap - gap // 2) for gap in missing)
        margins = (left, right, top, bottom)
        padded = {
            name: functional.pad(target, margins, value=float(task.ignore))
            for name, task, target in targets(sample, tasks)
        }
        mean = colour(IMAGENET_MEAN, image)
        return {**sample, **padded, "image": functional.pad(image - mean, margins) + mean}


@dataclass(frozen=True)
class RandomWindow:
    """Crops a window at a random place. A side that is smaller than the window is kept whole.

    With `largest_share` below 1, a window is drawn again (up to ten times, as in the public recipe) if it shows at most
    one class, or if one class covers that share of the labelled pixels or more. A window full of wall teaches little.

    Attributes:
        size: The largest height and width of the result.
        largest_share: The share of the labelled pixels below which every class must stay.
        classes_of: The name of the task whose classes count. A sample without it gets the first window.

    Raises:
        ValueError: `size` is not two positive numbers, or `largest_share` is not in (0, 1].
    """

    size: tuple[int, int]
    largest_share: float = 1.0
    classes_of: str = "seg"

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 0 < self.largest_share <= 1:
            raise ValueError(f"`largest_share` should be in (0, 1]. Found `largest_share = {self.largest_share}`.")

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the window."""
        rows, columns = self._draw(sample["image"])
        if self.largest_share < 1 and self.classes_of in sample:
            classes = sample[self.classes_of]
            valid = tasks[self.classes_of].valid(classes)
            for _ in range(REDRAWS):
                if _is_varied(classes[rows, columns][valid[rows, columns]], self.largest_share):
                    break
                rows, columns = self._draw(classes)
        cropped = {name: target[..., rows, columns] for name, _, target in targets(sample, tasks)}
        return {**sample, **cropped, "image": sample["image"][..., rows, columns]}

    def _draw(self, image: Tensor) -> tuple[slice, slice]:
        window = []
        for wanted, length in zip(self.size, image.shape[-2:], strict=True):
            start = int(torch.randint(max(0, length - wanted) + 1, ()).item())
            window.append(slice(start, start + wanted))
        rows, columns = window
        return rows, columns


@dataclass(frozen=True)
class RandomCrop:
    """Crops a window at a random place and pads what is too small, see `Pad`.

    Attributes:
        size: The height and width of the result.

    Raises:
        ValueError: `size` is not two positive numbers.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        check_size(self.size)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the window."""
        return Pad(self.size)(RandomWindow(self.size)(sample, tasks), tasks)


def _is_varied(labels: Tensor, largest_share: float) -> bool:
    counts = labels.unique(return_counts=True)[1]
    return len(counts) > 1 and counts.max().item() < largest_share * labels.numel()

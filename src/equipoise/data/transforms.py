"""Transforms that act on an image and its targets together.

A transform is called with a sample and the tasks by name, and asks the tasks what it does to their targets: none knows
a task by name. Tensors of the sample are replaced, never written into. Randomness comes from PyTorch's global CPU
generator, which a data loader seeds in every worker, so the same seed gives the same augmentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from equipoise.data.base import Sample, Transform
from equipoise.tasks import Task

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _colour(values: tuple[float, float, float], image: Tensor) -> Tensor:
    return image.new_tensor(values)[:, None, None]


def _targets(sample: Sample, tasks: Mapping[str, Task]) -> list[tuple[str, Task, Tensor]]:
    return [(name, task, sample[name]) for name, task in tasks.items() if name in sample]


def _uniform(smallest: float, largest: float) -> float:
    return torch.empty((), dtype=torch.float64).uniform_(smallest, largest).item()


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"`size` should be (height, width), both at least 1. Found `size = {size}`.")


@dataclass(frozen=True)
class Compose:
    """Applies transforms one after the other.

    Attributes:
        transforms: The transforms, first to last.
    """

    transforms: tuple[Transform, ...]

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample after all transforms."""
        for transform in self.transforms:
            sample = transform(sample, tasks)
        return sample


@dataclass(frozen=True)
class Normalize:
    """Subtracts the mean of the image's channels and divides by their deviation; of ImageNet by default.

    Attributes:
        mean: The mean of red, green and blue, for images in [0, 1].
        std: Their standard deviation.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample with its image normalised."""
        image = sample["image"]
        return {**sample, "image": (image - _colour(self.mean, image)) / _colour(self.std, image)}


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Exchanges left and right, sometimes.

    Attributes:
        probability: How often.

    Raises:
        ValueError: ``probability`` is outside [0, 1].
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"`probability` should be in [0, 1]. Found `probability = {self.probability}`.")

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample or its mirror image."""
        if torch.rand(()).item() >= self.probability:
            return sample
        mirrored = {name: task.flip(target) for name, task, target in _targets(sample, tasks)}
        return {**sample, **mirrored, "image": sample["image"].flip(-1)}


@dataclass(frozen=True)
class Resize:
    """Resamples to a fixed size: the image bilinear and antialiased, targets as their tasks say (labels nearest).

    The resolution changes, the view does not: depths keep their values, and so do normals, also where the aspect
    changes, as in the public recipes.

    Attributes:
        size: The height and width to resample to.

    Raises:
        ValueError: ``size`` is not two positive numbers.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_size(self.size)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample at the new size."""
        resized = {name: task.resize(target, self.size) for name, task, target in _targets(sample, tasks)}
        image = functional.interpolate(
            sample["image"][None], size=self.size, mode="bilinear", align_corners=False, antialias=True
        )[0]
        return {**sample, **resized, "image": image}


@dataclass(frozen=True)
class RandomScale:
    """Enlarges or shrinks by a factor drawn uniformly, as if the camera were nearer or farther.

    Depths are divided by the factor; normals stay (so do all angles of a scene that shrinks in all three directions).

    Attributes:
        smallest: The smallest factor.
        largest: The largest.

    Raises:
        ValueError: The factors are not ``0 < smallest <= largest``.
    """

    smallest: float = 0.5
    largest: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest:
            raise ValueError(
                f"`smallest` and `largest` should fulfil 0 < smallest <= largest. "
                f"Found `smallest = {self.smallest}` and `largest = {self.largest}`."
            )

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample at another scale."""
        factor = _uniform(self.smallest, self.largest)
        height, width = (max(1, int(length * factor)) for length in sample["image"].shape[-2:])
        sample = Resize((height, width))(sample, tasks)
        return {**sample, **{name: task.zoom(target, factor) for name, task, target in _targets(sample, tasks)}}


@dataclass(frozen=True)
class Pad:
    """Puts the sample in the middle of a larger canvas; an odd pixel goes to the right and the bottom.

    Targets are filled with what their tasks ignore, the image with ImageNet's mean colour (which :class:`Normalize`,
    applied later, makes zero). What is large enough already stays.

    Attributes:
        size: The smallest height and width wanted.

    Raises:
        ValueError: ``size`` is not two positive numbers.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_size(self.size)

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
            for name, task, target in _targets(sample, tasks)
        }
        mean = _colour(IMAGENET_MEAN, image)
        return {**sample, **padded, "image": functional.pad(image - mean, margins) + mean}


@dataclass(frozen=True)
class RandomCrop:
    """Cuts out a window at a random place; what is too small is padded, see :class:`Pad`.

    Attributes:
        size: The height and width of the result.

    Raises:
        ValueError: ``size`` is not two positive numbers.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_size(self.size)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the window."""
        window = []
        for wanted, length in zip(self.size, sample["image"].shape[-2:], strict=True):
            start = int(torch.randint(max(0, length - wanted) + 1, ()).item())
            window.append(slice(start, start + wanted))
        rows, columns = window
        cropped = {name: sample[name][..., rows, columns] for name in ("image", *tasks) if name in sample}
        return Pad(self.size)({**sample, **cropped}, tasks)


@dataclass(frozen=True)
class ColourJitter:
    """Changes brightness, contrast, saturation and hue of the image, in random order (that of torchvision).

    To be applied before :class:`Normalize`, on values in [0, 1].

    Attributes:
        brightness: The factor is drawn from [1 - brightness, 1 + brightness].
        contrast: Likewise.
        saturation: Likewise.
        hue: The shift is drawn from [-hue, hue], as a share of the full circle of colours; 18 of OpenCV's 180 steps
            by default, as in the public recipes.

    Raises:
        ValueError: A value is negative, or ``hue`` is above 0.5.
    """

    brightness: float = 0.125
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.1

    def __post_init__(self) -> None:
        v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample with other colours."""
        jitter = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return {**sample, "image": jitter(sample["image"])}

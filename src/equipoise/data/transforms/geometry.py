"""Changes of resolution, scale, angle and side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import affine

from equipoise.data.core.sample import IMAGENET_MEAN, Sample
from equipoise.data.transforms.compose import chance, check_probability, check_size, targets, uniform
from equipoise.tasks import Task


@dataclass(frozen=True)
class Resize:
    """Resamples to a fixed size: the image bilinear and antialiased, targets as their tasks define (labels nearest).

    The resolution changes, the view does not. So depths and normals keep their values, also if the aspect ratio
    changes, as in the public recipes.

    Attributes:
        size: The height and width to resample to.

    Raises:
        ValueError: `size` is not two positive numbers.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        check_size(self.size)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample at the new size."""
        resized = {name: task.resize(target, self.size) for name, task, target in targets(sample, tasks)}
        image = functional.interpolate(
            sample["image"][None], size=self.size, mode="bilinear", align_corners=False, antialias=True
        )[0]
        return {**sample, **resized, "image": image}


@dataclass(frozen=True)
class RandomScale:
    """Enlarges or shrinks by a factor drawn uniformly, as if the camera were nearer or farther.

    Depths are divided by the factor, as in all public recipes. For normals there are two conventions. The public
    multi-task recipes keep them (`"nearer"`), although no movement of the camera enlarges a whole picture evenly and
    keeps the normals. The other convention (`"flattened"`) is consistent: dividing all depths by s with fixed x and y
    gives a scene flattened s times, whose image is exactly the enlarged one. Its normals have their z multiplied by s
    and are scaled to unit length.

    Attributes:
        smallest: The smallest factor.
        largest: The largest factor.
        geometry: `"nearer"` for the rule `equipoise.tasks.Task.zoom`, `"flattened"` for
            `equipoise.tasks.Task.flatten`.

    Raises:
        ValueError: The factors are not `0 < smallest <= largest`, or there is no such geometry.
    """

    smallest: float = 0.5
    largest: float = 2.0
    geometry: Literal["nearer", "flattened"] = "nearer"

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest:
            raise ValueError(
                f"`smallest` and `largest` should fulfil 0 < smallest <= largest. "
                f"Found `smallest = {self.smallest}` and `largest = {self.largest}`."
            )
        if self.geometry not in ("nearer", "flattened"):
            raise ValueError(f"`geometry` should be 'nearer' or 'flattened'. Found `geometry = {self.geometry!r}`.")

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample at another scale."""
        factor = uniform(self.smallest, self.largest)
        height, width = (max(1, int(length * factor)) for length in sample["image"].shape[-2:])
        sample = Resize((height, width))(sample, tasks)
        rescaled = {
            name: task.zoom(target, factor) if self.geometry == "nearer" else task.flatten(target, factor)
            for name, task, target in targets(sample, tasks)
        }
        return {**sample, **rescaled}


@dataclass(frozen=True)
class Between:
    """A number drawn uniformly from a range.

    Attributes:
        smallest: The lower bound.
        largest: The upper bound.
    """

    smallest: float
    largest: float

    def draw(self) -> float:
        """Return a number drawn from it."""
        return uniform(self.smallest, self.largest)

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest."""
        return self.smallest, self.largest


@dataclass(frozen=True)
class OneOf:
    """A number drawn from a few, each with the same probability.

    Attributes:
        values: The numbers.
    """

    values: tuple[float, ...]

    def draw(self) -> float:
        """Return a number drawn from it."""
        return self.values[int(torch.randint(len(self.values), ()))]

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class RandomRotation:
    """Rotates about the middle of the image and enlarges. The size of the canvas stays.

    The image is resampled bilinearly, labels to the nearest pixel. Pixels from outside are ignored in every target and
    have ImageNet's mean colour in the image. (This transform is from the public recipe for PASCAL-Context. That recipe
    resamples image and normals bicubically, and calls the empty corners background, no edge and not salient.)
    Directions within the image, such as x and y of normals, rotate with it. Depths are divided by the zoom.

    Attributes:
        degrees: The angle is drawn from [-degrees, degrees].
        zoom: The distribution of the factor. Factors below 1 shrink.

    Raises:
        ValueError: `degrees` is outside [0, 180], or a zoom is not positive.
    """

    degrees: float = 0.0
    zoom: Between | OneOf = OneOf((1.0,))

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"`degrees` should be in [0, 180]. Found `degrees = {self.degrees}`.")
        smallest, largest = self.zoom.bounds()
        if not 0 < smallest <= largest:
            raise ValueError(f"`zoom` should be positive and ascending. Found `zoom = {self.zoom}`.")

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample, rotated and enlarged."""
        degrees, zoom = uniform(-self.degrees, self.degrees), self.zoom.draw()
        found = targets(sample, tasks)
        # All targets together, since computing where pixels come from takes longer than fetching them. Class indices
        # and the codes of the unlabelled are exact in float32.
        planes = [target.reshape(-1, *target.shape[-2:]).float() for _, _, target in found]
        fill = [float(task.ignore) for (_, task, _), some in zip(found, planes, strict=True) for _ in some]
        turned: Sample = {}
        if planes:
            warped = _warp(torch.cat(planes), degrees, zoom, fill, v2.InterpolationMode.NEAREST)
            for (name, task, target), some in zip(found, warped.split([len(one) for one in planes]), strict=True):
                moved = some.reshape(target.shape).to(target.dtype)
                turned[name] = task.zoom(task.rotate(moved, degrees), zoom)
        image = _warp(sample["image"], degrees, zoom, list(IMAGENET_MEAN), v2.InterpolationMode.BILINEAR)
        return {**sample, **turned, "image": image}


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirrors left and right with a probability.

    Attributes:
        probability: The probability.

    Raises:
        ValueError: `probability` is outside [0, 1].
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample or its mirror image."""
        if not chance(self.probability):
            return sample
        mirrored = {name: task.flip(target) for name, task, target in targets(sample, tasks)}
        return {**sample, **mirrored, "image": sample["image"].flip(-1)}


def _warp(planes: Tensor, degrees: float, zoom: float, fill: list[float], mode: v2.InterpolationMode) -> Tensor:
    # torchvision counts the angle of an affine map clockwise.
    return affine(planes, -degrees, [0, 0], zoom, [0.0, 0.0], interpolation=mode, fill=fill)

"""Other resolutions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from equipoise.data.core.sample import IMAGENET_MEAN, Sample
from equipoise.data.transforms.compose import chance, check_probability, check_size, targets, uniform
from equipoise.tasks import Task


@dataclass(frozen=True)
class Resize:
    """Resamples to a fixed size: the image bilinear and antialiased, targets as their tasks say (labels nearest).

    The resolution changes, the view does not: depths keep their values, and so do normals, also where the aspect
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
        image = F.interpolate(
            sample["image"][None], size=self.size, mode="bilinear", align_corners=False, antialias=True
        )[0]
        return {**sample, **resized, "image": image}


@dataclass(frozen=True)
class RandomScale:
    """Enlarges or shrinks by a factor drawn uniformly, as if the camera were nearer or farther.

    Depths are divided by the factor, as in all public recipes. What this does to normals is a matter of convention:
    the public multi-task recipes leave them alone (`"nearer"`), although no movement of the camera enlarges all of a
    picture evenly and keeps them. Dividing all depths by s while x and y stay is a scene flattened s times, whose
    image is exactly the enlarged one; its normals have their z multiplied by s and are of unit length again
    (`"flattened"`).

    Attributes:
        smallest: The smallest factor.
        largest: The largest.
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
        smallest: The smallest.
        largest: The largest.
    """

    smallest: float
    largest: float

    def draw(self) -> float:
        """Return one."""
        return uniform(self.smallest, self.largest)

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest."""
        return self.smallest, self.largest


@dataclass(frozen=True)
class OneOf:
    """A number drawn from a few, each as likely.

    Attributes:
        values: The numbers.
    """

    values: tuple[float, ...]

    def draw(self) -> float:
        """Return one."""
        return self.values[int(torch.randint(len(self.values), ()))]

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class RandomRotation:
    """Turns about the middle of the image and enlarges; the size of the canvas stays.

    The image is resampled bilinearly, labels nearest. What comes from outside is ignored in every target and of
    ImageNet's mean colour in the image. (The public recipe for PASCAL-Context, where this comes from, resamples image
    and normals bicubically, and declares the empty corners background, no edge and not salient.) Directions that lie
    in the image, like the x and y of normals, turn with it, and depths are divided by the zoom.

    Attributes:
        degrees: The angle is drawn from [-degrees, degrees].
        zoom: What the factor is drawn from; below 1 shrinks.

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
        """Return the sample, turned and enlarged."""
        degrees, zoom = uniform(-self.degrees, self.degrees), self.zoom.draw()
        found = targets(sample, tasks)
        # Together, since finding where pixels come from takes longer than fetching them. Class indices are exact in
        # float32, and so is what marks the unlabelled.
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


def _warp(planes: Tensor, degrees: float, zoom: float, fill: list[float], mode: v2.InterpolationMode) -> Tensor:
    # torchvision counts the angle of an affine map clockwise.
    return functional.affine(planes, -degrees, [0, 0], zoom, [0.0, 0.0], interpolation=mode, fill=fill)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Exchanges left and right, sometimes.

    Attributes:
        probability: How often.

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

"""Turning and enlarging on a canvas that keeps its size."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from equipoise.data.imagenet import IMAGENET_MEAN
from equipoise.data.sample import Sample
from equipoise.data.transforms.common import targets, uniform
from equipoise.tasks import Task


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
        ValueError: ``degrees`` is outside [0, 180], or a zoom is not positive.
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

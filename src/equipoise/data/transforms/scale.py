"""Other resolutions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch.nn import functional

from equipoise.data.sample import Sample
from equipoise.data.transforms.common import check_size, targets, uniform
from equipoise.tasks import Task


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

    Depths are divided by the factor, as in all public recipes. What this does to normals is a matter of convention:
    the public multi-task recipes leave them alone (``"nearer"``), although no movement of the camera enlarges all of a
    picture evenly and keeps them. Dividing all depths by s while x and y stay is a scene flattened s times, whose
    image is exactly the enlarged one; its normals have their z multiplied by s and are of unit length again
    (``"flattened"``).

    Attributes:
        smallest: The smallest factor.
        largest: The largest.
        geometry: ``"nearer"`` for the rule :meth:`equipoise.tasks.Task.zoom`, ``"flattened"`` for
            :meth:`equipoise.tasks.Task.flatten`.

    Raises:
        ValueError: The factors are not ``0 < smallest <= largest``, or there is no such geometry.
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

"""One transform made of several."""

from collections.abc import Mapping
from dataclasses import dataclass

from equipoise.data.sample import Sample, Transform
from equipoise.tasks import Task


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

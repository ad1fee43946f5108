"""Composition of transforms, and helpers that all transforms use."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.data.core.sample import Sample, Transform
from equipoise.tasks import Task


@dataclass(frozen=True)
class Compose:
    """Applies transforms one after another.

    Attributes:
        transforms: The transforms, in the order in which they are applied.
    """

    transforms: tuple[Transform, ...]

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample after all transforms."""
        for transform in self.transforms:
            sample = transform(sample, tasks)
        return sample


def colour(values: tuple[float, ...], image: Tensor) -> Tensor:
    """Return one value for each channel, `[C, 1, 1]`. The tensor is shared, so it must not be changed in place."""
    return _column(values, image.dtype, image.device)


@cache
def _column(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)[:, None, None]


def targets(sample: Sample, tasks: Mapping[str, Task]) -> list[tuple[str, Task, Tensor]]:
    """Return name, task and target of all maps of a sample. No transform changes a label for the whole image."""
    return [(name, task, sample[name]) for name, task in tasks.items() if name in sample and task.dense]


def uniform(smallest: float, largest: float) -> float:
    """Draw a number uniformly from a range."""
    return torch.empty((), dtype=torch.float64).uniform_(smallest, largest).item()


def chance(probability: float) -> bool:
    """Return true with a probability."""
    return torch.rand(()).item() < probability


def check_probability(probability: float) -> None:
    """Check that a probability is in [0, 1].

    Raises:
        ValueError: It is not.
    """
    require(0 <= probability <= 1, "probability", probability, "be in [0, 1]")


def check_size(size: tuple[int, int]) -> None:
    """Check that a size is a height and a width.

    Raises:
        ValueError: It is not.
    """
    require(len(size) == 2 and min(size) >= 1, "size", size, "be (height, width), both at least 1")

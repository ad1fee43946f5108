"""One transform made of several."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from equipoise.data.core.sample import Sample, Transform
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


def colour(values: tuple[float, ...], image: Tensor) -> Tensor:
    """Return one value for each channel in a shape that broadcasts against an image; not to be changed in place."""
    return _column(values, image.dtype, image.device)


@cache
def _column(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)[:, None, None]


def targets(sample: Sample, tasks: Mapping[str, Task]) -> list[tuple[str, Task, Tensor]]:
    """Return name, task and target of all that a sample has maps of; a label for the whole image never changes."""
    return [(name, task, sample[name]) for name, task in tasks.items() if name in sample and task.dense]


def uniform(smallest: float, largest: float) -> float:
    """Draw a number."""
    return torch.empty((), dtype=torch.float64).uniform_(smallest, largest).item()


def chance(probability: float) -> bool:
    """Draw yes or no."""
    return torch.rand(()).item() < probability


def check_probability(probability: float) -> None:
    """Raise a ValueError unless it is one."""
    if not 0 <= probability <= 1:
        raise ValueError(f"`probability` should be in [0, 1]. Found `probability = {probability}`.")


def check_size(size: tuple[int, int]) -> None:
    """Raise a ValueError unless it is a height and a width."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"`size` should be (height, width), both at least 1. Found `size = {size}`.")

"""Samples and batches of a dataset, and the errors of its files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equipoise._core.errors import InputError
from equipoise.tasks import Task

Sample = dict[str, Tensor]
"""`"image"`: float32 `[3, H, W]` in [0, 1]; the name of a task: its target. A missing key means no label."""

Transform = Callable[[Sample, Mapping[str, Task]], Sample]
"""Acts on an image and its targets together, see `equipoise.data.transforms`."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of the channels of ImageNet's images in [0, 1]."""


class DatasetError(InputError, RuntimeError):
    """A file of a dataset is missing, cannot be read, or holds something else than it should.

    Attributes:
        path: The file or directory.
        what: What is wrong with it.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


class EmptySplitError(DatasetError):
    """A split has no samples, because of the options or because there is too little to divide."""


@dataclass(frozen=True)
class Collate:
    """Joins samples to a batch, the `collate_fn` of a data loader. Samples may lack targets.

    If a sample has no target of a task that others of the batch have, its part is filled with the task's `ignore`
    value. If no sample has a target of a task, the batch has none either.

    Attributes:
        tasks: The tasks by name.

    Example:
        >>> from equipoise.tasks.depth import Depth
        >>> samples = [{"image": torch.zeros(3, 1, 1), "depth": torch.ones(1, 1, 1)}, {"image": torch.ones(3, 1, 1)}]
        >>> batch = Collate({"depth": Depth(name="depth")})(samples)
        >>> batch["depth"].flatten()
        tensor([1., 0.])
    """

    tasks: Mapping[str, Task]

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return the batch: every tensor of the samples with a new first axis.

        Raises:
            ValueError: The samples differ in size.
        """
        sizes = {tuple(sample["image"].shape[-2:]) for sample in samples}
        if len(sizes) > 1:
            raise ValueError(
                f"The images of a batch should have one size. Found sizes {sorted(sizes)}; "
                "add `Resize`, `RandomCrop` or `Pad` to the transform; in a recipe, set `training.augmentation.size`."
            )
        batch = {"image": torch.stack([sample["image"] for sample in samples])}
        return batch | stack_targets(samples, self.tasks)


def stack_targets(samples: Sequence[Mapping[str, Any]], tasks: Mapping[str, Task]) -> dict[str, Tensor]:
    """Return the targets of a batch by task, as `Collate` does. Other keys of the samples do not matter."""
    batch = {}
    for name, task in tasks.items():
        labelled = [sample[name] for sample in samples if name in sample]
        if not labelled:
            continue
        if len(labelled) < len(samples):
            nothing = torch.full_like(labelled[0], task.ignore)
            labelled = [sample.get(name, nothing) for sample in samples]
        batch[name] = torch.stack(labelled)
    return batch

"""Puts samples together to a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from equipoise.data.sample import Sample
from equipoise.tasks import Task


@dataclass(frozen=True)
class Collate:
    """Stacks samples some of which lack targets; the ``collate_fn`` of a data loader.

    Where a sample has no target of a task that others of the batch have, its part is filled with the task's ``ignore``
    value. A task of which no sample has a target is absent from the batch.

    Attributes:
        tasks: The tasks by name.

    Examples:
        >>> from equipoise.tasks.depth import Depth
        >>> samples = [{"image": torch.zeros(3, 1, 1), "depth": torch.ones(1, 1, 1)}, {"image": torch.ones(3, 1, 1)}]
        >>> batch = Collate({"depth": Depth(name="depth")})(samples)
        >>> batch["depth"].flatten()
        tensor([1., 0.])
    """

    tasks: Mapping[str, Task]

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return the batch: every tensor of the samples with one axis more in front.

        Raises:
            ValueError: The samples differ in size.
        """
        sizes = {tuple(sample["image"].shape[-2:]) for sample in samples}
        if len(sizes) > 1:
            raise ValueError(
                f"The images of a batch should have one size. Found sizes {sorted(sizes)}; "
                "add `Resize`, `RandomCrop` or `Pad` to the transform."
            )
        batch = {"image": torch.stack([sample["image"] for sample in samples])}
        return batch | stacked_targets(samples, self.tasks)


def stacked_targets(samples: Sequence[Mapping[str, Any]], tasks: Mapping[str, Task]) -> dict[str, Tensor]:
    """Return the targets of a batch by task, as :class:`Collate` does, whatever the samples have besides."""
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

"""Label noise: wrong labels on purpose (Guo et al., 2025, section V-F and Table V)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from equipoise._core.text import unknown
from equipoise.tasks import Task


@dataclass(frozen=True)
class LabelNoise:
    """Makes the labels of training samples wrong, each task's in its own way; see `equipoise.tasks.Task.corrupt`.

    In Guo et al. (2025) five random classes of every image lose half of their pixels to other classes, and depths and
    normals get Gaussian noise. The paper does not state its standard deviation; each kind of task has a default.

    The noise belongs to the data, like an annotator's errors. It depends only on the seed, the name of the sample and
    the task. So it is the same in every epoch and worker, whichever other tasks or samples are loaded, and a
    single-task network learns from the same wrong labels as a multi-task network.

    Attributes:
        seed: The seed of the noise.
        strength: The strength of the noise by the name of the task, instead of the default of its kind. 0 leaves the
            labels right.

    Raises:
        ValueError: A strength is negative or infinite.

    Example:
        >>> from equipoise.tasks.depth import Depth
        >>> noise = LabelNoise(strength={"depth": 0.1})
        >>> wrong = noise(torch.tensor([[[2.0, 0.0]]]), Depth(name="depth"), "kitchen/003")
        >>> bool(0 < (wrong[0, 0, 0] - 2).abs() < 1), wrong[0, 0, 1].item()
        (True, 0.0)
    """

    seed: int = 0
    strength: Mapping[str, float] = field(default_factory=dict)

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # in a recipe, a misspelt key is an error

    def __post_init__(self) -> None:
        for name, strength in self.strength.items():
            if not 0 <= strength < float("inf"):
                raise ValueError(f"`strength` should be 0 or more. Found `strength = {strength}` for {name!r}.")

    def check(self, offered: Mapping[str, Task], active: Mapping[str, Task]) -> None:
        """Check that every task whose labels are to be wrong has a rule for it.

        Args:
            offered: The tasks of the dataset by name. A strength may be given for each.
            active: The tasks that are loaded.

        Raises:
            ValueError: A strength is given for an unknown task, or a task has no rule.
        """
        for name in self.strength:
            if name not in offered:
                raise unknown("corrupt.strength", name, offered)
        for name, task in active.items():
            if task.noise is None and self.strength.get(name) != 0:
                raise ValueError(
                    f"`corrupt` has no rule for {name!r} ({task.kind}); leave its labels right with "
                    f"`corrupt.strength.{name} = 0`."
                )

    def __call__(self, target: Tensor, task: Task, identifier: str) -> Tensor:
        """Return the wrong target of a sample. A target without labels is returned unchanged."""
        strength = self.strength.get(task.name, task.noise)
        if not strength or not task.has_labels(target):
            return target
        # Python's `hash` differs from process to process.
        digest = hashlib.sha256(f"{self.seed}:{task.name}:{identifier}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
        return task.corrupt(target, strength, generator)

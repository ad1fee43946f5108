"""Left and right exchanged."""

from collections.abc import Mapping
from dataclasses import dataclass

from equipoise.data.sample import Sample
from equipoise.data.transforms.common import chance, check_probability, targets
from equipoise.tasks import Task


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Exchanges left and right, sometimes.

    Attributes:
        probability: How often.

    Raises:
        ValueError: ``probability`` is outside [0, 1].
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

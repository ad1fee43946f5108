"""Base class and loss of binary dense tasks: yes or no for every pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import UNLABELLED, Task, at_least_float32
from equipoise.tasks.label_statistics import LabelStatistics


@dataclass(frozen=True, kw_only=True)
class Binary(Task):
    """Base class of tasks with yes or no for every pixel.

    Targets are float32 `[1, H, W]` of 0 and 1, 255 where unlabelled.

    A network predicts one logit. Predictions for metrics and pictures are probabilities.
    """

    ignore: ClassVar[float | int] = 255
    higher_is_better = True
    noise = 0.5

    @property
    def channels(self) -> int:
        """One."""
        return 1

    @property
    def categories(self) -> int:
        """Two: no, yes."""
        return 2

    def categorise(self, target: Tensor) -> Tensor:
        """Return 0 for no, 1 for yes and 255 where unlabelled; int64 `[B, H, W]`."""
        return target.where(self.valid(target), UNLABELLED).long().squeeze(1)

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels are labelled."""
        return target != self.ignore

    def statistics(self, labels: LabelStatistics) -> dict[str, Any]:
        """Return the fraction of yes among the labelled pixels."""
        return {"fraction": labels.means[0]} if labels.labelled else {}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the probability of a yes."""
        return at_least_float32(prediction).sigmoid()

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the target with a share `strength` of the yes pixels moved to random other places.

        The number of yes pixels stays the same, as far as there is room. This rule is ours: Guo et al. (2025) corrupt
        classes, depths and normals.
        """
        labels, wrong = target.flatten(), target.flatten().clone()
        yes, no = ((self.valid(labels) & (labels == answer)).nonzero()[:, 0] for answer in (1, 0))
        count = min(round(strength * len(yes)), len(no))
        for pixels, answer in ((yes, 0), (no, 1)):
            wrong[pixels[torch.randperm(len(pixels), generator=generator)[:count]]] = answer
        return wrong.reshape(target.shape)

    def draw(self, target: Tensor) -> Tensor:
        """Return yes in white on black, dark grey where unlabelled."""
        plane = target.detach().float().cpu()
        picture = (plane.clamp(0, 1) * 255).round().to(torch.uint8).where(self.valid(plane), 64)
        return picture.expand(3, -1, -1).contiguous()

    def from_map(self, values: Tensor) -> Tensor:
        """Return yes for bytes of 128 or more, or for numbers above one half."""
        return (super().from_map(values) > (127 if values.dtype == torch.uint8 else 0.5)).to(self.dtype)

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are values other than 0 and 1."""
        wrong = (self.valid(target) & (target != 0) & (target != 1)).sum().item()
        return [f"`{self.name}` should be 0, 1 or {self.ignore}; found {wrong} pixels that are not"] if wrong else []


def weighted_cross_entropy(
    prediction: Tensor, target: Tensor, valid: Tensor, positive_weight: float | Tensor
) -> Tensor:
    """Return the binary cross entropy of logits with weights for yes and no, averaged over the N valid pixels.

    `1 / N * sum_i (-w y_i log p_i - (1 - w) (1 - y_i) log(1 - p_i))`. The divisor is the number of pixels, not the sum
    of their weights. If no pixel is valid, the result is a zero that still depends on the prediction.

    Args:
        prediction: Logits of any shape. The loss is computed in float32 or float64.
        target: 0 and 1 at valid pixels, of the same shape.
        valid: Which pixels count.
        positive_weight: The weight w of a yes, in [0, 1].

    Raises:
        ValueError: The shapes differ.
    """
    require_same_shape(prediction, target)
    logits = at_least_float32(prediction)
    yes = target.where(valid, 0).to(logits.dtype)
    weight = (positive_weight * yes + (1 - positive_weight) * (1 - yes)).where(valid, 0)
    total = functional.binary_cross_entropy_with_logits(logits, yes, weight=weight, reduction="sum")
    return total / valid.sum().clamp(min=1)

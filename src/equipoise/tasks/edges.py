"""Edges: whether the border of something passes through a pixel."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise.metrics import OdsF
from equipoise.tasks.base import Task, at_least_float32, same_shape


@dataclass(frozen=True, kw_only=True)
class Edges(Task):
    r"""Whether a pixel lies on an edge; targets are float32 ``[1, H, W]`` of 0 and 1, 255 where unlabelled.

    The loss is the binary cross entropy of the logits with fixed weights for edge and other pixels (paper one,
    section V: 0.95 and 0.05), averaged over the N labelled pixels of the batch:

    .. math:: \frac1N \sum_i -w\,y_i \log p_i - (1 - w)(1 - y_i) \log(1 - p_i)

    The divisor is the number of pixels, not the sum of their weights.

    Attributes:
        positive_weight: The weight w of edge pixels, in (0, 1).
        max_distance: How far a found edge may be from a true one to count, as a share of the diagonal (0.011 for
            NYUD, 0.0075 for PASCAL).
        thresholds: How many thresholds the metric tries; its time grows with them.

    Raises:
        ValueError: ``positive_weight`` is out of range.

    Examples:
        >>> Edges(name="edge").loss(torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 0.0, 255.0]]]]))
        tensor(0.3466)
    """

    positive_weight: float = 0.95
    max_distance: float = 0.011
    thresholds: int = 99

    kind = "edges"
    ignore: ClassVar[float | int] = 255
    metric = "odsf"
    higher_is_better = True

    def __post_init__(self) -> None:
        if not 0 < self.positive_weight < 1:
            raise ValueError(
                f"`positive_weight` should be in (0, 1). Found `positive_weight = {self.positive_weight}`."
            )

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels are labelled."""
        return target != self.ignore

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the weighted binary cross entropy, averaged over the labelled pixels."""
        same_shape(prediction, target)
        logits = at_least_float32(prediction)
        valid = self.valid(target)
        edge = target.where(valid, 0).to(logits.dtype)
        weight = (self.positive_weight * edge + (1 - self.positive_weight) * (1 - edge)).where(valid, 0)
        total = functional.binary_cross_entropy_with_logits(logits, edge, weight=weight, reduction="sum")
        return total / valid.sum().clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        """Return the F-measure at the best threshold of the whole dataset."""
        return {"odsf": OdsF(max_distance=self.max_distance, thresholds=self.thresholds)}

    def while_training(self) -> Self:
        """Return the task with a fifth of the thresholds, in a fifth of the time."""
        return replace(self, thresholds=min(self.thresholds, 19))

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the probability of an edge."""
        return at_least_float32(prediction).sigmoid()

    def draw(self, target: Tensor) -> Tensor:
        """Return edges in white on black, dark grey where unlabelled."""
        edge = target.detach().float().cpu()
        picture = (edge.clamp(0, 1) * 255).round().to(torch.uint8).where(self.valid(edge), 64)
        return picture.expand(3, -1, -1).contiguous()

    def faults(self, target: Tensor) -> list[str]:
        """Return whether there are values other than 0 and 1."""
        wrong = (self.valid(target) & (target != 0) & (target != 1)).sum().item()
        return [f"edges should be 0, 1 or {self.ignore}; found {wrong} pixels that are not"] if wrong else []

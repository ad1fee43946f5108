"""Edges: whether the border of an object or part passes through a pixel."""

from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor
from torchmetrics import Metric

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.metrics import EdgePrecision, OdsF, OisF
from equipoise.tasks.binary import Binary, weighted_cross_entropy


@register("edges")
@dataclass(frozen=True, kw_only=True)
class Edges(Binary):
    """Whether a pixel lies on an edge. Targets are float32 `[1, H, W]` of 0 and 1, 255 where unlabelled.

    The loss is the binary cross entropy of the logits with fixed weights for edge pixels and others (0.95 and 0.05 in
    Guo et al. (2025), section V), averaged over the N labelled pixels of the batch:
    `1 / N * sum_i (-w y_i log p_i - (1 - w) (1 - y_i) log(1 - p_i))`. The divisor is the number of pixels, not the sum
    of their weights.

    Attributes:
        positive_weight: The weight w of edge pixels, in (0, 1).
        max_distance: The largest distance between a predicted and a true edge pixel that match, as a fraction of the
            diagonal of the image (0.011 for NYUD, 0.0075 for PASCAL).
        thresholds: The number of thresholds that the metric tries. Its time grows with them.

    Raises:
        ValueError: `positive_weight` is out of range.

    Example:
        >>> import torch
        >>> Edges(name="edge").loss(torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 0.0, 255.0]]]]))
        tensor(0.3466)
    """

    positive_weight: float = 0.95
    max_distance: float = 0.011
    thresholds: int = 99

    metric = "odsf"

    def __post_init__(self) -> None:
        require(0 < self.positive_weight < 1, "positive_weight", self.positive_weight, "be in (0, 1)")

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the weighted binary cross entropy, averaged over the labelled pixels."""
        return weighted_cross_entropy(prediction, target, self.valid(target), self.positive_weight)

    def metrics(self) -> dict[str, Metric]:
        """Return the F-measures at the best threshold of the dataset and of each image, and the average precision."""
        classes = {"odsf": OdsF, "oisf": OisF, "ap": EdgePrecision}
        return {key: metric(self.max_distance, self.thresholds) for key, metric in classes.items()}

    def while_training(self) -> Self:
        """Return the task with at most 19 thresholds: a fifth of the default, in a fifth of the time."""
        return replace(self, thresholds=min(self.thresholds, 19))

"""Saliency: whether a pixel belongs to an object that catches the eye."""

from dataclasses import dataclass

from torch import Tensor
from torchmetrics import Metric

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.metrics import MapError, MaxF
from equipoise.tasks.binary import Binary, weighted_cross_entropy


@register("saliency")
@dataclass(frozen=True, kw_only=True)
class Saliency(Binary):
    """Whether a pixel is salient. Targets are float32 `[1, H, W]` of 0 and 1, 255 where unlabelled.

    The loss is the balanced cross entropy of the logits (Guo et al. (2025), section V; Xie and Tu, "Holistically-Nested
    Edge Detection", 2015). The weight of salient pixels is the share of the other pixels among the N labelled ones of
    the batch, and the other way round, so that both sides have the same total weight:
    `1 / N * sum_i (-w y_i log p_i - (1 - w) (1 - y_i) log(1 - p_i))` with `w = 1 / N * sum_i (1 - y_i)`.

    A batch of pixels of one side alone has no loss. Other forms are in use: shares in each image instead of the batch
    (Xie and Tu), a divisor that counts unlabelled pixels, too (Multi-Task-Learning-PyTorch), or a fixed weight.

    Attributes:
        positive_weight: A fixed weight w of salient pixels in (0, 1), instead of the share in the batch.
        beta_squared: The weight of recall against precision in the metric.

    Raises:
        ValueError: `positive_weight` or `beta_squared` is out of range.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[1.0, 0.0, 0.0, 0.0, 255.0]]]])
        >>> Saliency(name="saliency").loss(torch.zeros(1, 1, 1, 5), target)  # (0.75 + 3 * 0.25) / 4 * log 2
        tensor(0.2599)
    """

    positive_weight: float | None = None
    beta_squared: float = 0.3

    metric = "maxf"

    def __post_init__(self) -> None:
        weight = self.positive_weight
        require(weight is None or 0 < weight < 1, "positive_weight", weight, "be in (0, 1)")
        require(self.beta_squared > 0, "beta_squared", self.beta_squared, "be above 0")

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the balanced cross entropy, averaged over the labelled pixels."""
        valid = self.valid(target)
        weight = self.positive_weight
        if weight is None:
            weight = (valid & (target == 0)).sum() / valid.sum().clamp(min=1)
        return weighted_cross_entropy(prediction, target, valid, weight)

    def metrics(self) -> dict[str, Metric]:
        """Return the greatest F-measure over thresholds (percent) and the mean absolute error (a fraction)."""
        ignore = float(self.ignore)
        return {"maxf": MaxF(self.beta_squared, ignore_index=ignore), "mae": MapError(ignore)}

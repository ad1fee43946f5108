"""Saliency: whether a pixel belongs to what catches the eye."""

from dataclasses import dataclass

from torch import Tensor
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import MapError, MaxF
from equipoise.tasks.binary import Binary, weighted_cross_entropy


@register("saliency")
@dataclass(frozen=True, kw_only=True)
class Saliency(Binary):
    r"""Whether a pixel is salient; targets are float32 ``[1, H, W]`` of 0 and 1, 255 where unlabelled.

    The loss is the balanced cross entropy of the logits (paper one, section V; Xie and Tu, "Holistically-Nested Edge
    Detection", 2015): salient pixels are weighted with the share of the other pixels among the labelled ones of the
    batch, the other pixels with the share of the salient ones, so that both sides weigh the same in all:

    .. math:: \frac1N \sum_i -w\,y_i \log p_i - (1 - w)(1 - y_i) \log(1 - p_i), \quad w = \frac1N \sum_i (1 - y_i)

    A batch that is all of one kind has no loss. Other forms are in use: shares of each image instead of the batch
    (Xie and Tu), a divisor that counts unlabelled pixels too (Multi-Task-Learning-PyTorch), or a fixed weight.

    Attributes:
        positive_weight: A fixed weight w of salient pixels in (0, 1), in place of the share in the batch.
        beta_squared: The weight of recall against precision in the metric.

    Raises:
        ValueError: ``positive_weight`` or ``beta_squared`` is out of range.

    Examples:
        >>> import torch
        >>> target = torch.tensor([[[[1.0, 0.0, 0.0, 0.0, 255.0]]]])
        >>> Saliency(name="saliency").loss(torch.zeros(1, 1, 1, 5), target)  # (0.75 + 3 * 0.25) / 4 * log 2
        tensor(0.2599)
    """

    positive_weight: float | None = None
    beta_squared: float = 0.3

    kind = "saliency"
    metric = "maxf"

    def __post_init__(self) -> None:
        if self.positive_weight is not None and not 0 < self.positive_weight < 1:
            raise ValueError(
                f"`positive_weight` should be in (0, 1). Found `positive_weight = {self.positive_weight}`."
            )
        if not self.beta_squared > 0:
            raise ValueError(f"`beta_squared` should be above 0. Found `beta_squared = {self.beta_squared}`.")

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

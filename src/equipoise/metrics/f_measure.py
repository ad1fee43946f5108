"""The F-measure of saliency maps at the best threshold, from pooled pixels or averaged over images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.errors import require


def threshold_counts(prediction: Tensor, target: Tensor, thresholds: Tensor, ignore_index: float = 255) -> Tensor:
    """Count pixels with `prediction >= threshold`, image by image, without waiting for the device.

    Args:
        prediction: Probabilities, `[B, 1, H, W]` or any shape whose first axis is the images.
        target: 1 (yes), 0 (no) or `ignore_index`, of the same shape.
        thresholds: Ascending thresholds, `[T]`.
        ignore_index: The value of unlabelled pixels in `target`, which are left out.

    Returns:
        int64 `[B, 3, T]`: predicted pixels that are right, predicted pixels, true pixels (the same at all thresholds).

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> prediction, target = torch.tensor([[0.2, 0.6, 0.9, 0.9]]), torch.tensor([[0.0, 1.0, 1.0, 255.0]])
        >>> threshold_counts(prediction, target, torch.tensor([0.1, 0.5, 0.7])).tolist()
        [[[2, 2, 1], [3, 2, 1], [2, 2, 2]]]
    """
    if prediction.shape != target.shape or not prediction.ndim:
        raise ValueError(
            "`prediction` and `target` should be [B, ...] of one shape. Found "
            f"`prediction.shape = {tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
        )
    images, bins = len(prediction), len(thresholds) + 1
    prediction, target = prediction.flatten(1), target.flatten(1)
    # Thresholds get the type of the prediction, so that v / 255 in float32 reaches the threshold v / 255.
    prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
    # The number of thresholds that a pixel reaches. NaN reaches none, although `bucketize` sorts it to the very end.
    reached = torch.bucketize(prediction, thresholds.to(prediction), right=True).masked_fill(prediction.isnan(), 0)
    kind = torch.where(target == ignore_index, 2, (target == 1).long())
    image = torch.arange(images, device=target.device)[:, None]
    cell = (image * 3 + kind) * bins + reached
    counts = torch.zeros(images * 3 * bins, dtype=torch.int64, device=target.device)
    counts.index_add_(0, cell.flatten(), torch.ones_like(cell).flatten())
    no, yes, _ = counts.view(images, 3, bins).unbind(1)
    # Pixels that reach threshold t are those that reach t thresholds or more.
    right, wrong = (one.flip(1).cumsum(1).flip(1)[:, 1:] for one in (yes, no))
    return torch.stack([right, right + wrong, yes.sum(1, keepdim=True).expand_as(right)], dim=1)


def f_measure(precision: Tensor, recall: Tensor, beta_squared: float) -> Tensor:
    """Return the weighted harmonic mean `(1 + b) P R / (b P + R)` with `b = beta_squared`; 0 if both are 0."""
    weighted = beta_squared * precision + recall
    return (1 + beta_squared) * precision * recall / weighted.where(weighted > 0, 1)


class FMeasure(Metric):
    """Base class of both forms of the greatest F-measure: thresholds, and counts of pixels image by image.

    Args:
        beta_squared: The weight of recall against precision; 0.3 favours precision, as work on saliency does.
        thresholds: The ascending thresholds in [0, 1], or how many, evenly spaced inside of (0, 1).
        ignore_index: The value of unlabelled pixels in a target, which are left out.

    Raises:
        ValueError: From the constructor for an argument out of range; from `update` if the shapes do not fit.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    thresholds: Tensor

    def __init__(
        self,
        beta_squared: float = 0.3,
        thresholds: int | Sequence[float] = 19,
        ignore_index: float = 255,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require(beta_squared > 0, "beta_squared", beta_squared, "be above 0")
        self.beta_squared = beta_squared
        self.ignore_index = ignore_index
        self.register_buffer("thresholds", _ascending(thresholds), persistent=False)
        self._add_states(len(self.thresholds))

    @abstractmethod
    def _add_states(self, thresholds: int) -> None:
        """Add the states for a number of thresholds."""

    def _counts(self, prediction: Tensor, target: Tensor) -> Tensor:
        return threshold_counts(prediction, target, self.thresholds, self.ignore_index)

    def _greatest(self, precision: Tensor, recall: Tensor) -> Tensor:
        return 100 * f_measure(precision, recall, self.beta_squared).max()


def _ascending(thresholds: int | Sequence[float]) -> Tensor:
    if isinstance(thresholds, int):
        require(thresholds >= 1, "thresholds", thresholds, "be at least 1")
        return torch.arange(1, thresholds + 1, dtype=torch.float64) / (thresholds + 1)
    values = torch.as_tensor(thresholds, dtype=torch.float64)
    if values.ndim != 1 or not len(values) or values[0] < 0 or values[-1] > 1 or (values.diff() <= 0).any():
        raise ValueError(f"`thresholds` should ascend inside of [0, 1]. Found `thresholds = {thresholds}`.")
    return values


class MaxF(FMeasure):
    """The greatest F-measure over thresholds, in percent, from pixels pooled over the whole data set.

    At each threshold `t`, pixels with `prediction >= t` are predicted. Precision and recall are computed from counts
    summed over all images, and `F = (1 + b) P R / (b P + R)`. This is the saliency score of Guo et al. (2025),
    section 3, ATRC and InvPT, with `b = beta^2 = 0.3` and the thresholds 0.05, 0.10 .. 0.95. `MaxMeanF` is the other
    form in use; the two differ by a point or more.

    InvPT's code applies a sigmoid to values that are probabilities already, so that only five of its thresholds
    separate any pixels. Here predictions are used as they are.

    Args:
        beta_squared: The weight of recall against precision; 0.3 favours precision, as work on saliency does.
        thresholds: The ascending thresholds in [0, 1], or how many, evenly spaced inside of (0, 1).
        ignore_index: The value of unlabelled pixels in a target, which are left out.

    Raises:
        ValueError: From the constructor for an argument out of range; from `update` if the shapes do not fit.

    Example:
        >>> metric = MaxF()
        >>> metric.update(torch.tensor([[[[0.9, 0.6, 0.6, 0.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0, 1.0]]]]))
        >>> metric.compute().item()  # precision 1 and recall 1/3, better than 2/3 and 2/3
        68.42...
    """

    counts: Tensor

    def _add_states(self, thresholds: int) -> None:
        zeros = torch.zeros(3, thresholds, dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: probabilities against 0, 1 or `ignore_index`, `[B, 1, H, W]`."""
        self.counts += self._counts(prediction, target).sum(0)

    def compute(self) -> Tensor:
        """Return the score in percent, float64; nan if no pixel is truly 1."""
        right, predicted, true = self.counts.double()
        best = self._greatest(right / predicted.clamp(min=1), right / true.clamp(min=1))
        return torch.where(true.any(), best, torch.nan)


class MaxMeanF(FMeasure):
    """The greatest F-measure over thresholds, in percent, of precision and recall averaged over images.

    Precision and recall are averaged over the images first; the F-measure is computed from the averages. The public
    saliency toolboxes use this form, with 256 thresholds `0/255 .. 255/255` and `beta_squared=0.3`. MTLP uses it with
    `beta_squared=1` and 15 thresholds from 0.2 to 0.9. An image without a predicted pixel has precision 0. An image
    without a salient pixel has no recall and is left out.

    Args:
        beta_squared: The weight of recall against precision; 0.3 favours precision, as work on saliency does.
        thresholds: The ascending thresholds in [0, 1], or how many, evenly spaced inside of (0, 1).
        ignore_index: The value of unlabelled pixels in a target, which are left out.

    Raises:
        ValueError: From the constructor for an argument out of range; from `update` if the shapes do not fit.

    Example:
        >>> metric = MaxMeanF(thresholds=[level / 255 for level in range(256)])
        >>> metric.update(torch.tensor([[[[0.9, 0.6, 0.6, 0.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0, 1.0]]]]))
        >>> metric.compute().item()  # one image alone, now with a threshold that lets all pixels pass
        79.5...
    """

    sums: Tensor
    images: Tensor

    def _add_states(self, thresholds: int) -> None:
        zeros = torch.zeros(2, thresholds, dtype=torch.float64)
        self.add_state("sums", zeros, dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: probabilities against 0, 1 or `ignore_index`, `[B, 1, H, W]`."""
        right, predicted, true = self._counts(prediction, target).double().unbind(1)
        # An image without a salient pixel has no hits either: both of its terms are zero.
        self.sums += torch.stack([right / predicted.clamp(min=1), right / true.clamp(min=1)]).sum(1)
        self.images += (true[:, 0] > 0).sum()

    def compute(self) -> Tensor:
        """Return the score in percent, float64; nan if no image has a pixel that is truly 1."""
        precision, recall = self.sums / self.images
        return torch.where(self.images > 0, self._greatest(precision, recall), torch.nan)

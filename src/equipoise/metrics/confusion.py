"""The confusion matrix of label maps, and the metrics computed from it: mean IoU and pixel accuracy."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.metrics.shared_state import SharedState


def confusion_matrix(
    prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = 255
) -> tuple[Tensor, Tensor]:
    """Count how often each class is predicted as each class, without waiting for the device.

    Args:
        prediction: Scores `[B, C, ...]` (logits or probabilities; the largest wins) or classes, integers `[B, ...]`.
        target: Classes, integers `[B, ...]`.
        num_classes: Number of classes `C`.
        ignore_index: The value of unlabelled pixels in `target`, which are left out. `None` if every pixel is labelled.

    Returns:
        The matrix, int64 `[C, C]`, with true classes in rows and predicted ones in columns; and the number, an int64
        scalar, of labelled pixels whose true or predicted class is outside `0 .. C - 1`. Such pixels are not in the
        matrix. The caller has to refuse them, at a time when waiting for the device does no harm.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> matrix, outside = confusion_matrix(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 0]]), num_classes=2)
        >>> matrix.tolist(), outside.item()
        ([[1, 1], [0, 1]], 0)
    """
    if prediction.shape != target.shape or prediction.is_floating_point():
        if prediction.shape != (*target.shape[:1], num_classes, *target.shape[1:]):
            raise ValueError(
                f"`prediction` should be scores [B, {num_classes}, ...] or classes [B, ...], `target` [B, ...]. "
                f"Found `prediction.shape = {tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
            )
        prediction = prediction.argmax(dim=1)
    prediction, target = prediction.flatten().long(), target.flatten().long()
    inside = (target >= 0) & (target < num_classes) & (prediction >= 0) & (prediction < num_classes)
    labelled = torch.ones_like(inside) if ignore_index is None else target != ignore_index
    cells = num_classes * num_classes
    # Pixels that do not count get cells of their own: selecting the others would make the host wait for the device.
    cell = torch.where(inside, target * num_classes + prediction, cells + 1).masked_fill(~labelled, cells)
    counts = torch.zeros(cells + 2, dtype=torch.int64, device=target.device)
    counts.index_add_(0, cell, torch.ones_like(cell))
    return counts[:cells].view(num_classes, num_classes), counts[cells + 1]


def mean_iou(matrix: Tensor, absent_class_score: float | None = None) -> Tensor:
    """Return the mean over classes of intersection over union, in percent.

    Args:
        matrix: Confusion matrix of the whole data set, `[C, C]`, with true classes in rows.
        absent_class_score: The score, a fraction, of a class that is neither labelled nor predicted anywhere; `None`
            leaves it out of the mean.

    Returns:
        float64 scalar in percent; nan if no class is left.

    Example:
        >>> mean_iou(torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).item()
        77.5
        >>> round(mean_iou(torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), absent_class_score=0.0).item(), 2)
        51.67
    """
    correct = matrix.diagonal().double()
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    score = correct / union
    if absent_class_score is not None:
        score = torch.where(union > 0, score, absent_class_score)
        return 100 * score.mean()
    return 100 * score.nanmean()


def pixel_accuracy(matrix: Tensor) -> Tensor:
    """Return the share of labelled pixels whose class is right, in percent; nan if there are none.

    Args:
        matrix: Confusion matrix of the whole data set, `[C, C]`.

    Example:
        >>> pixel_accuracy(torch.tensor([[3, 1], [0, 4]])).item()
        87.5
    """
    return 100 * matrix.diagonal().sum().double() / matrix.sum()


class ConfusionMetric(SharedState):
    """Base class of metrics computed from the confusion matrix of a data set.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: The value of unlabelled pixels in a target, which are left out. `None` if every pixel is labelled.

    Raises:
        ValueError: There is no class.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    matrix: Tensor
    outside: Tensor

    def __init__(self, num_classes: int, ignore_index: int | None = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require(num_classes >= 1, "num_classes", num_classes, "be at least 1")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.add_state("matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("outside", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """Return the arguments."""
        return ConfusionMetric, self.num_classes, self.ignore_index

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: scores `[B, C, H, W]` or classes `[B, H, W]`, against classes `[B, H, W]`.

        Raises ValueError if the shapes do not fit.
        """
        matrix, outside = confusion_matrix(prediction, target, self.num_classes, self.ignore_index)
        self.matrix += matrix
        self.outside += outside

    def checked_matrix(self) -> Tensor:
        """Return the matrix, int64 `[C, C]`, with true classes in rows.

        Raises ValueError if a labelled pixel had a true or predicted class outside `0 .. num_classes - 1`.
        """
        if self.outside > 0:
            raise ValueError(
                f"Labels and predictions should be in 0 .. {self.num_classes - 1}. Found {int(self.outside)} pixels "
                f"outside: raise `num_classes`, or write {self.ignore_index} in `target` where there is no label."
            )
        return self.matrix


class MeanIoU(ConfusionMetric):
    """Mean over classes of intersection over union, in percent, from counts summed over all pixels of the data set.

    `IoU_c = TP_c / (TP_c + FP_c + FN_c)`, as papers on semantic segmentation report it (Guo et al. (2025), section 3).
    `torchmetrics.segmentation.MeanIoU` computes something else: the mean over images of the score of an image.

    By default, a class that is neither labelled nor predicted anywhere is left out of the mean. The evaluation code
    behind Guo et al. scores it 0 (`absent_class_score=0.0`). In other code it makes the whole mean nan
    (`absent_class_score=float("nan")`). On a complete test split every class occurs, and the three agree. A class that
    is labelled and never predicted, or the other way round, always scores 0.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: The value of unlabelled pixels in a target, which are left out. `None` if every pixel is labelled.
        absent_class_score: The score, a fraction, of a class that never occurs; `None` leaves it out of the mean.

    Raises:
        ValueError: From the constructor if there is no class; from `update` if the shapes do not fit; from `compute`
            if a label or a predicted class was outside `0 .. num_classes - 1`.

    Example:
        >>> import torch
        >>> metric = MeanIoU(num_classes=3)
        >>> metric.update(torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, 255]]]))
        >>> metric.compute().item()
        50.0
    """

    def __init__(
        self, num_classes: int, ignore_index: int | None = 255, absent_class_score: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_classes, ignore_index, **kwargs)
        self.absent_class_score = absent_class_score

    def compute(self) -> Tensor:
        """Return the mean over classes in percent; nan if no pixel is labelled."""
        return mean_iou(self.checked_matrix(), self.absent_class_score).float()


class PixelAccuracy(ConfusionMetric):
    """Share of all labelled pixels of the data set whose predicted class is right, in percent.

    In `equipoise.metrics.collect`, this metric and `MeanIoU` share one matrix, which is summed once.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: The value of unlabelled pixels in a target, which are left out. `None` if every pixel is labelled.

    Raises:
        ValueError: As `MeanIoU` does.

    Example:
        >>> import torch
        >>> metric = PixelAccuracy(num_classes=2)
        >>> metric.update(torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 1], [0, 255]]]))
        >>> round(metric.compute().item(), 2)
        66.67
    """

    def compute(self) -> Tensor:
        """Return the share in percent; nan if no pixel is labelled."""
        return pixel_accuracy(self.checked_matrix()).float()

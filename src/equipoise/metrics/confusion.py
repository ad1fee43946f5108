"""The confusion matrix of a label map, and the scores read from it."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.shared_state import SharedState


def confusion_matrix(
    prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = 255
) -> tuple[Tensor, Tensor]:
    """Counts how often each class is predicted as each class, without waiting for the device.

    Args:
        prediction: Scores `[B, C, ...]` (logits or probabilities; the largest wins) or classes, integers `[B, ...]`.
        target: Classes, integers `[B, ...]`.
        num_classes: Number of classes `C`.
        ignore_index: Value of unlabelled pixels in `target`, left out. `None` when every pixel is labelled.

    Returns:
        The matrix, int64 `[C, C]`, rows are true classes and columns predicted ones; and the number of labelled pixels,
        int64 scalar, whose true or predicted class is outside `0 .. C - 1`. Such pixels are not in the matrix, and it
        is the caller's duty to refuse them where reading a number back from the device is no harm.

    Raises:
        ValueError: When the shapes do not fit.

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
    # Pixels that do not count go to cells of their own: selecting the others would make the host wait for the device.
    cell = torch.where(inside, target * num_classes + prediction, cells + 1).masked_fill(~labelled, cells)
    counts = torch.zeros(cells + 2, dtype=torch.int64, device=target.device)
    counts.index_add_(0, cell, torch.ones_like(cell))
    return counts[:cells].view(num_classes, num_classes), counts[cells + 1]


def mean_iou(matrix: Tensor, absent_class_score: float | None = None) -> Tensor:
    """Mean over classes of intersection over union, in percent.

    Args:
        matrix: Confusion matrix of the whole data set, `[C, C]`, rows are true classes.
        absent_class_score: What a class scores that is neither labelled nor predicted anywhere, as a fraction; `None`
            leaves it out of the mean.

    Returns:
        float64 scalar in percent; nan when no class is left.

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
    """Share of labelled pixels whose class is right, in percent; nan when there is none.

    Args:
        matrix: Confusion matrix of the whole data set, `[C, C]`.

    Example:
        >>> pixel_accuracy(torch.tensor([[3, 1], [0, 4]])).item()
        87.5
    """
    return 100 * matrix.diagonal().sum().double() / matrix.sum()


class ConfusionMetric(SharedState):
    """Sums the confusion matrix of a data set; a subclass says in `compute` what it reads from it.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: Value of unlabelled pixels in a target, left out. `None` when every pixel is labelled.

    Raises:
        ValueError: For fewer than one class.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    matrix: Tensor
    outside: Tensor

    def __init__(self, num_classes: int, ignore_index: int | None = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(f"`num_classes` should be at least 1. Found `num_classes = {num_classes}`.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.add_state("matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("outside", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """The arguments."""
        return ConfusionMetric, self.num_classes, self.ignore_index

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch: scores `[B, C, H, W]` or classes `[B, H, W]`, against classes `[B, H, W]`.

        Raises ValueError when the shapes do not fit.
        """
        matrix, outside = confusion_matrix(prediction, target, self.num_classes, self.ignore_index)
        self.matrix += matrix
        self.outside += outside

    def checked_matrix(self) -> Tensor:
        """The matrix, int64 `[C, C]`, rows are true classes.

        Raises ValueError when a labelled pixel had a true or predicted class outside `0 .. num_classes - 1`.
        """
        if self.outside > 0:
            raise ValueError(
                f"Labels and predictions should be in 0 .. {self.num_classes - 1}. Found {int(self.outside)} pixels "
                f"outside: raise `num_classes`, or write {self.ignore_index} in `target` where there is no label."
            )
        return self.matrix


class MeanIoU(ConfusionMetric):
    """Mean over classes of intersection over union, in percent, from counts summed over all pixels of the data set.

    `IoU_c = TP_c / (TP_c + FP_c + FN_c)`, as papers on semantic segmentation report it (P1, section 3). This is not the
    mean over images of an image's score, which `torchmetrics.segmentation.MeanIoU` gives.

    A class that is neither labelled nor predicted anywhere is left out of the mean by default. The evaluation code
    behind P1 scores it 0 (`absent_class_score=0.0`); other code lets it make the whole mean nan
    (`absent_class_score=float("nan")`). On a complete test split every class occurs and the three agree. A class that
    is labelled and never predicted, or the other way round, scores 0 everywhere.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: Value of unlabelled pixels in a target, left out. `None` when every pixel is labelled.
        absent_class_score: What a class scores that never occurs, as a fraction; `None` leaves it out of the mean.

    Raises:
        ValueError: From the constructor for fewer than one class; from `update` when shapes do not fit; from `compute`
            when a label or a predicted class was outside `0 .. num_classes - 1`.

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
        """The mean over classes in percent; nan when no pixel was labelled."""
        return mean_iou(self.checked_matrix(), self.absent_class_score).float()


class PixelAccuracy(ConfusionMetric):
    """Share of all labelled pixels of the data set whose predicted class is right, in percent.

    Beside `MeanIoU` in `equipoise.metrics.collect` both are read from one matrix, which is summed once.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: Value of unlabelled pixels in a target, left out. `None` when every pixel is labelled.

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
        """The share in percent; nan when no pixel was labelled."""
        return pixel_accuracy(self.checked_matrix()).float()

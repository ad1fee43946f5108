"""The confusion matrix of a label map, and the scores read from it."""

import torch
from torch import Tensor


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

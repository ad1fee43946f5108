"""How many pixels of a map of probabilities are right at each of several thresholds."""

import torch
from torch import Tensor


def threshold_counts(prediction: Tensor, target: Tensor, thresholds: Tensor, ignore_index: float = 255) -> Tensor:
    """Counts pixels with `prediction >= threshold`, image by image, without waiting for the device.

    Args:
        prediction: Probabilities, `[B, 1, H, W]` or any shape that begins with the images.
        target: 1 (yes), 0 (no) or `ignore_index`, of the same shape.
        thresholds: Ascending thresholds, `[T]`.
        ignore_index: Value of unlabelled pixels in `target`, left out.

    Returns:
        int64 `[B, 3, T]`: predicted pixels that are right, predicted pixels, true pixels (the same at all thresholds).

    Raises:
        ValueError: When the shapes differ.

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
    # Compared in the type of the prediction, so that v / 255 in float32 meets the threshold v / 255.
    prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
    # The number of thresholds that a pixel reaches; none for NaN, which `bucketize` sorts to the very end.
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
    """Weighted harmonic mean `(1 + b) P R / (b P + R)` with `b = beta_squared`; 0 where both are 0."""
    weighted = beta_squared * precision + recall
    return (1 + beta_squared) * precision * recall / weighted.where(weighted > 0, 1)

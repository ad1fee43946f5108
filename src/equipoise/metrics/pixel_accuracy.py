"""Share of labelled pixels whose class is right."""

from torch import Tensor

from equipoise.metrics.confusion import pixel_accuracy
from equipoise.metrics.confusion_metric import ConfusionMetric


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

"""Mean intersection over union of a data set."""

from typing import Any

from torch import Tensor

from equipoise.metrics.confusion import mean_iou
from equipoise.metrics.confusion_metric import ConfusionMetric


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

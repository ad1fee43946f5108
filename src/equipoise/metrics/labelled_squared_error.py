"""The squared error of torchmetrics, over what is labelled."""

from torch import Tensor
from torchmetrics import MeanSquaredError


class LabelledMSE(MeanSquaredError):
    """Mean squared error over the finite targets of the data set.

    Example:
        >>> import torch
        >>> metric = LabelledMSE()
        >>> metric.update(torch.tensor([1.0, 5.0]), torch.tensor([3.0, float("inf")]))
        >>> metric.compute()
        tensor(4.)
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of predictions and targets of one shape."""
        labelled = target.isfinite()
        super().update(preds[labelled], target[labelled])

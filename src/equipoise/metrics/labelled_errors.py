"""The errors of torchmetrics, over what is labelled."""

from typing import Any

from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError


class LabelledMAE(MeanAbsoluteError):
    """Mean absolute error over the finite targets of the data set, times a factor.

    Args:
        factor: What turns the error into the unit wanted, such as the deviation that targets were divided by.

    Example:
        >>> import torch
        >>> metric = LabelledMAE(factor=10.0)
        >>> metric.update(torch.tensor([1.0, 5.0]), torch.tensor([1.5, float("inf")]))
        >>> metric.compute()
        tensor(5.)
    """

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of predictions and targets of one shape."""
        labelled = target.isfinite()
        super().update(preds[labelled], target[labelled])

    def compute(self) -> Tensor:
        """The error; nan when nothing was labelled."""
        return super().compute() * self.factor


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

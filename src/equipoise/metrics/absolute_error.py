"""Absolute and relative error of predicted values."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanSquaredError, Metric


def summed_absolute_error(prediction: Tensor, target: Tensor, above: float = -torch.inf) -> tuple[Tensor, Tensor]:
    """Sum over labels of the absolute error (float64), and the number of labels (int64).

    Args:
        prediction: Values of any shape.
        target: Values of the same shape. A value is a label where it is finite and greater than `above`.
        above: See there.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> total, labels = summed_absolute_error(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([2.0, 1.0, torch.inf]))
        >>> total.item(), labels.item()
        (3.0, 2)
    """
    label = _is_label(prediction, target, above)
    return torch.where(label, prediction.double() - target.double(), 0.0).abs().sum(), label.sum()


def summed_relative_error(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over labels of the absolute error divided by the label (float64), and the number of labels (int64).

    Args:
        prediction: Values of any shape.
        target: Values of the same shape. A value is a label where it is finite and above 0.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> total, labels = summed_relative_error(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([2.0, 1.0, 0.0]))
        >>> total.item(), labels.item()
        (2.5, 2)
    """
    label = _is_label(prediction, target, above=0)
    exact = target.double().where(label, 1)
    return torch.where(label, (prediction.double() - exact) / exact, 0.0).abs().sum(), label.sum()


def _is_label(prediction: Tensor, target: Tensor, above: float) -> Tensor:
    if prediction.shape != target.shape:
        raise ValueError(
            f"`prediction` should have the shape of `target`. Found `prediction.shape = {tuple(prediction.shape)}` "
            f"and `target.shape = {tuple(target.shape)}`."
        )
    return (target > above) & target.isfinite()


class _MeanError(Metric):
    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    total: Tensor
    labels: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("labels", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """The mean over all labels; nan when there was none."""
        return (self.total / self.labels).float()


class AbsoluteError(_MeanError):
    """Mean of `|p - t|` over all labels of the data set, in their unit.

    Where a pixel has several values (the two coordinates of an offset) each counts for itself, as in the code of
    P2 (section 3.2). Predictions are taken as they are.

    Args:
        above: A value of a target is a label where it is finite and greater than this: 0 for depths and disparities.
        factor: What the error is multiplied by, such as the deviation that standardised targets were divided by.

    Example:
        >>> metric = AbsoluteError(above=0)
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[1.5, 1.0, 0.0]]]]))
        >>> metric.compute().item()
        1.25
    """

    def __init__(self, above: float = -torch.inf, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.above = above
        self.factor = factor

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch of any one shape. Raises ValueError when the shapes differ."""
        total, labels = summed_absolute_error(prediction, target, self.above)
        self.total += self.factor * total
        self.labels += labels


class RelativeError(_MeanError):
    """Mean of `|p - t| / t` over all labels of the data set, as a fraction; a label is finite and above 0.

    As P2 (section 3.2) measures disparity. Predictions are taken as they are.

    Example:
        >>> metric = RelativeError()
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[2.0, 1.0, 0.0]]]]))
        >>> metric.compute().item()
        1.25
    """

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch of any one shape. Raises ValueError when the shapes differ."""
        total, labels = summed_relative_error(prediction, target)
        self.total += total
        self.labels += labels


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

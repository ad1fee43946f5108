"""Mean absolute, relative and squared errors of predicted values."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanSquaredError, Metric

from equipoise.metrics.targets import finite_above, require_same_shape


def summed_absolute_error(prediction: Tensor, target: Tensor, above: float = -torch.inf) -> tuple[Tensor, Tensor]:
    """Return the sum over labels of the absolute error (float64), and the number of labels (int64).

    Args:
        prediction: Values of any shape.
        target: Values of the same shape. A value is a label if it is finite and greater than `above`.
        above: The bound for labels.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> total, labels = summed_absolute_error(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([2.0, 1.0, torch.inf]))
        >>> total.item(), labels.item()
        (3.0, 2)
    """
    label = finite_above(prediction, target, above)
    return torch.where(label, prediction.double() - target.double(), 0.0).abs().sum(), label.sum()


def summed_relative_error(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum over labels of the error relative to the label (float64), and the number of labels (int64).

    Args:
        prediction: Values of any shape.
        target: Values of the same shape. A value is a label if it is finite and above 0.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> total, labels = summed_relative_error(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([2.0, 1.0, 0.0]))
        >>> total.item(), labels.item()
        (2.5, 2)
    """
    label = finite_above(prediction, target, bound=0)
    exact = target.double().where(label, 1)
    return torch.where(label, (prediction.double() - exact) / exact, 0.0).abs().sum(), label.sum()


class MeanError(Metric):
    """Base class of errors averaged over all labels of the data set; a subclass defines `update`.

    The sum is divided by the number of labels once, in `compute`, so that batches may have any sizes.
    """

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
        """Return the mean over all labels; nan if there is none."""
        return (self.total / self.labels).float()


class AbsoluteError(MeanError):
    """Mean of `|p - t|` over all labels of the data set, in their unit.

    If a pixel has several values (the two coordinates of an offset), each counts on its own, as in the code of
    Gama & Grassi (2025), section 3.2. Predictions are used as they are.

    Args:
        above: A value of a target is a label if it is finite and greater than this: 0 for depths and disparities.
        factor: The error is multiplied by this, for example by the standard deviation of standardised targets.

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
        """Add a batch; prediction and target have one shape. Raises ValueError if the shapes differ."""
        total, labels = summed_absolute_error(prediction, target, self.above)
        self.total += self.factor * total
        self.labels += labels


class RelativeError(MeanError):
    """Mean of `|p - t| / t` over all labels of the data set, as a fraction. A label is finite and above 0.

    Gama & Grassi (2025), section 3.2, measure disparity so. Predictions are used as they are.

    Example:
        >>> metric = RelativeError()
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[2.0, 1.0, 0.0]]]]))
        >>> metric.compute().item()
        1.25
    """

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch; prediction and target have one shape. Raises ValueError if the shapes differ."""
        total, labels = summed_relative_error(prediction, target)
        self.total += total
        self.labels += labels


class MapError(MeanError):
    """Mean of `|p - t|` over all labelled pixels of the data set, as a fraction: the "MAE" of work on saliency.

    Pixels are pooled over the data set. The saliency toolboxes average over images, which is the same if all images
    have equally many pixels.

    Args:
        ignore_index: The value of unlabelled pixels in a target, which are left out.

    Raises:
        ValueError: From `update` if the shapes differ.

    Example:
        >>> metric = MapError()
        >>> metric.update(torch.tensor([[[[0.75, 0.5, 0.9]]]]), torch.tensor([[[[1.0, 0.0, 255.0]]]]))
        >>> metric.compute().item()
        0.375
    """

    def __init__(self, ignore_index: float = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: probabilities against 0, 1 or `ignore_index`, `[B, 1, H, W]`."""
        require_same_shape(prediction, target)
        labelled = target != self.ignore_index
        self.total += torch.where(labelled, prediction.double() - target.double(), 0.0).abs().sum()
        self.labels += labelled.sum()

    def compute(self) -> Tensor:
        """Return the mean error, float64; nan if no pixel is labelled."""
        return self.total / self.labels


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
        """Add a batch of predictions and targets of one shape."""
        labelled = target.isfinite()
        super().update(preds[labelled], target[labelled])

"""Root mean squared error of depth maps."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise.metrics.shared_state import SharedState


def squared_depth_error(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over valid pixels of the squared error (float64), and the number of valid pixels (int64).

    Args:
        prediction: Depth, `[B, 1, H, W]` or any shape, in metres.
        target: Depth of the same shape. A pixel is valid where it is finite and above 0.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> total, valid = squared_depth_error(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([1.0, 1.0, 0.0]))
        >>> total.item(), valid.item()
        (4.0, 2)
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"`prediction` should have the shape of `target`. Found `prediction.shape = {tuple(prediction.shape)}` "
            f"and `target.shape = {tuple(target.shape)}`."
        )
    valid = (target > 0) & target.isfinite()
    difference = torch.where(valid, prediction.double() - target.double(), 0.0)
    return difference.square().sum(), valid.sum()


class DepthRMSE(Metric):
    """Root mean squared error in metres over all valid pixels of the data set.

    `sqrt(sum (p - t)^2 / number of valid pixels)`, one root at the very end, as P1 (section 3) reports it. The mean of
    the errors of images or batches, which older code reports, is smaller and depends on the batches. A pixel is valid
    where the target is finite and above 0. Predictions are taken as they are: code behind P1 sets negative ones to 0
    first.

    Example:
        >>> metric = DepthRMSE()
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]]))
        >>> round(metric.compute().item(), 4)
        1.4142
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    total: Tensor
    valid: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("valid", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch of depth maps `[B, 1, H, W]` in metres. Raises ValueError when the shapes differ."""
        total, valid = squared_depth_error(prediction, target)
        self.total += total
        self.valid += valid

    def compute(self) -> Tensor:
        """The error in metres; nan when no pixel was valid."""
        return (self.total / self.valid).sqrt().float()


RATIO = 1.25
POWERS = 3


def counts_within(prediction: Tensor, target: Tensor) -> Tensor:
    """Counts depths within a factor of the true ones, without waiting for the device.

    Args:
        prediction: Depth, `[B, 1, H, W]` or any shape.
        target: Depth of the same shape. A pixel is valid where it is finite and above 0.

    Returns:
        int64 `[4]`: the number of valid pixels, and of those with `max(p / t, t / p) < 1.25^k` for k = 1, 2, 3. No
        prediction that is not above 0 is among these.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> counts_within(torch.tensor([1.2, 3.0, 9.0]), torch.tensor([1.0, 2.0, 0.0])).tolist()
        [2, 1, 2, 2]
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"`prediction` should have the shape of `target`. Found `prediction.shape = {tuple(prediction.shape)}` "
            f"and `target.shape = {tuple(target.shape)}`."
        )
    valid = (target > 0) & target.isfinite()
    predicted, true = prediction.double(), target.double().where(valid, 1)
    factor = torch.maximum(predicted / true, true / predicted).where(valid & (predicted > 0), torch.inf)
    return torch.stack([valid.sum(), *((factor < RATIO**power).sum() for power in range(1, POWERS + 1))])


class DepthWithin(SharedState):
    """Share of all valid pixels of the data set with `max(p / t, t / p) < 1.25^power`, in percent.

    Known as delta 1 to 3 (Eigen et al., "Depth map prediction from a single image", 2014). A pixel is valid where the
    target is finite and above 0.

    Args:
        power: 1, 2 or 3.

    Raises:
        ValueError: From the constructor for another power; from `update` when the shapes differ.

    Example:
        >>> metric = DepthWithin(power=1)
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[1.1, 2.0, 0.0]]]]))
        >>> metric.compute().item()
        50.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor

    def __init__(self, power: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if power not in range(1, POWERS + 1):
            raise ValueError(f"`power` should be 1, 2 or 3. Found `power = {power}`.")
        self.power = power
        self.add_state("counts", torch.zeros(1 + POWERS, dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """One for all powers."""
        return DepthWithin

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch of depth maps `[B, 1, H, W]`. Raises ValueError when the shapes differ."""
        self.counts += counts_within(prediction, target)

    def compute(self) -> Tensor:
        """The share in percent; nan when no pixel was valid."""
        return (100 * self.counts[self.power].double() / self.counts[0]).float()

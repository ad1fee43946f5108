"""Metrics of depth maps: root mean squared error, and the share of depths within a factor of the true ones."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.metrics.absolute_error import MeanError
from equipoise.metrics.shared_state import SharedState
from equipoise.metrics.targets import finite_above

RATIO = 1.25
"""The factor of the first share; those of the others are its powers."""
POWERS = 3
"""The number of shares."""


def squared_depth_error(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum over valid pixels of the squared error (float64), and the number of valid pixels (int64).

    Args:
        prediction: Depths in metres, `[B, 1, H, W]` or any shape.
        target: Depths of the same shape. A pixel is valid if its depth is finite and above 0.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> total, valid = squared_depth_error(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([1.0, 1.0, 0.0]))
        >>> total.item(), valid.item()
        (4.0, 2)
    """
    valid = finite_above(prediction, target, bound=0)
    difference = torch.where(valid, prediction.double() - target.double(), 0.0)
    return difference.square().sum(), valid.sum()


def counts_within(prediction: Tensor, target: Tensor) -> Tensor:
    """Count the depths within a factor of the true ones, without waiting for the device.

    Args:
        prediction: Depths, `[B, 1, H, W]` or any shape.
        target: Depths of the same shape. A pixel is valid if its depth is finite and above 0.

    Returns:
        int64 `[4]`: the number of valid pixels, then the numbers of those with `max(p / t, t / p) < 1.25^k` for
        k = 1, 2, 3. A prediction that is not above 0 is in none of these.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> counts_within(torch.tensor([1.2, 3.0, 9.0]), torch.tensor([1.0, 2.0, 0.0])).tolist()
        [2, 1, 2, 2]
    """
    valid = finite_above(prediction, target, bound=0)
    predicted, true = prediction.double(), target.double().where(valid, 1)
    factor = torch.maximum(predicted / true, true / predicted).where(valid & (predicted > 0), torch.inf)
    return torch.stack([valid.sum(), *((factor < RATIO**power).sum() for power in range(1, POWERS + 1))])


class DepthRMSE(MeanError):
    """Root mean squared error in metres over all valid pixels of the data set.

    `sqrt(sum (p - t)^2 / number of valid pixels)`, with one root at the very end, as Guo et al. (2025), section 3,
    report it. Older code reports the mean of the errors of images or batches, which is smaller and depends on the
    batches. A pixel is valid if its true depth is finite and above 0. Predictions are used as they are; the code behind
    Guo et al. sets negative ones to 0 first.

    Example:
        >>> metric = DepthRMSE()
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]]))
        >>> round(metric.compute().item(), 4)
        1.4142
    """

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of depth maps `[B, 1, H, W]` in metres. Raises ValueError if the shapes differ."""
        total, valid = squared_depth_error(prediction, target)
        self.total += total
        self.labels += valid

    def compute(self) -> Tensor:
        """Return the error in metres; nan if no pixel is valid."""
        return (self.total / self.labels).sqrt().float()


class DepthWithin(SharedState):
    """Share of all valid pixels of the data set with `max(p / t, t / p) < 1.25^power`, in percent.

    Known as delta 1 to 3 (Eigen et al., "Depth map prediction from a single image", 2014). A pixel is valid if its true
    depth is finite and above 0.

    Args:
        power: 1, 2 or 3.

    Raises:
        ValueError: From the constructor for another power; from `update` if the shapes differ.

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
        require(power in range(1, POWERS + 1), "power", power, "be 1, 2 or 3")
        self.power = power
        self.add_state("counts", torch.zeros(1 + POWERS, dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """Return one key for all powers."""
        return DepthWithin

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of depth maps `[B, 1, H, W]`. Raises ValueError if the shapes differ."""
        self.counts += counts_within(prediction, target)

    def compute(self) -> Tensor:
        """Return the share in percent; nan if no pixel is valid."""
        return (100 * self.counts[self.power].double() / self.counts[0]).float()

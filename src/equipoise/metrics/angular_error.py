"""Mean and median angle between predicted and true surface normals, and the share of small angles."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.metrics.shared_state import SharedState

BINS_PER_DEGREE = 1000
"""The resolution of the histogram of angles. A median is off by half a bin at most."""


def angles(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the angle in degrees of every pixel, and which pixels are valid.

    The angle is `atan2(|p x t|, p . t)`. It does not depend on the lengths of the vectors, and stays exact for small
    and for opposite directions, where `acos` of the product of unit vectors loses half of its digits.

    Args:
        prediction: Vectors of any length, `[B, 3, H, W]`. A zero vector is 90 degrees from everything.
        target: Vectors `[B, 3, H, W]`. A pixel is valid if the vector is finite and not zero.

    Returns:
        float64 `[B, H, W]`, 0 where not valid; and bool `[B, H, W]`.

    Raises:
        ValueError: The shapes differ, or the vectors do not have three components.

    Example:
        >>> degrees, valid = angles(torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([[0.0, 0.0, -1.0]]))
        >>> round(degrees.item(), 3), valid.item()
        (90.0, True)
    """
    if prediction.shape != target.shape or target.ndim < 2 or target.shape[1] != 3:
        raise ValueError(
            "`prediction` and `target` should be [B, 3, ...] of one shape. Found "
            f"`prediction.shape = {tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
        )
    valid = target.isfinite().all(dim=1) & (target != 0).any(dim=1)
    # In float64, where neither squares nor products of float32 numbers vanish or overflow.
    p, t = (vectors.double().unbind(dim=1) for vectors in (prediction, target))
    cross = [p[i] * t[j] - p[j] * t[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    sine = torch.sqrt(cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2])
    cosine = p[0] * t[0] + p[1] * t[1] + p[2] * t[2]
    angle = torch.atan2(sine, cosine).masked_fill((prediction == 0).all(dim=1), torch.pi / 2)
    return torch.where(valid, angle, 0.0).rad2deg(), valid


class AngleMetric(SharedState):
    """Base class of metrics computed from the sum and the histogram of the angles of a data set.

    The bins are a thousandth of a degree wide. They replace the angles themselves, which a median would have to keep
    and send between processes: 170 million of them for the test images of NYUD.

    Raises:
        ValueError: From `update` if the shapes do not fit.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    total: Tensor
    bins: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("bins", torch.zeros(180 * BINS_PER_DEGREE + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """Return one key for all."""
        return AngleMetric

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of normals `[B, 3, H, W]`. Raises ValueError if the shapes do not fit."""
        degrees, valid = angles(prediction, target)
        self.total += degrees.sum()
        # A NaN makes the sum NaN, which `compute` reports. It still needs a bin.
        place = (degrees.nan_to_num(nan=180.0) * BINS_PER_DEGREE).long().clamp(max=len(self.bins) - 1)
        self.bins.index_add_(0, place.flatten(), valid.flatten().long())


class AngularError(AngleMetric):
    """Mean angle in degrees between predicted and true normals over all valid pixels of the data set.

    The lengths of predictions and targets do not matter. A pixel is valid if the target is finite and not the zero
    vector (Guo et al. (2025), section 3). Some code leaves the target as it is, or averages over batches; both change
    the number.

    Raises:
        ValueError: From `update` if the shapes do not fit.

    Example:
        >>> metric = AngularError()
        >>> tilted, towards_camera = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.0, 0.0, -1.0])
        >>> metric.update(tilted.view(1, 3, 1, 1), towards_camera.view(1, 3, 1, 1))
        >>> round(metric.compute().item(), 3)
        45.0
    """

    def compute(self) -> Tensor:
        """Return the mean angle in degrees; nan if no pixel is valid."""
        return (self.total / self.bins.sum()).float()


class MedianAngle(AngleMetric):
    """Median angle in degrees between predicted and true normals over all valid pixels of the data set.

    This is the median of all pixels. Other code reports the mean of the medians of batches. If the number of pixels is
    even, it is the mean of the two angles in the middle. It is exact to 0.0005 degrees for any number of pixels and
    processes.

    Raises:
        ValueError: From `update` if the shapes do not fit.

    Example:
        >>> metric = MedianAngle()
        >>> normals = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).T.reshape(1, 3, 1, 3)
        >>> metric.update(normals, torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand_as(normals))
        >>> round(metric.compute().item(), 2)
        45.0
    """

    def compute(self) -> Tensor:
        """Return the median angle in degrees; nan if no pixel is valid or a prediction is NaN."""
        reached = self.bins.cumsum(0)
        middle = torch.stack([(reached[-1] - 1) // 2, reached[-1] // 2])
        rank = torch.searchsorted(reached, middle, right=True).double()
        median = (rank.mean() + 0.5) / BINS_PER_DEGREE
        return torch.where((reached[-1] > 0) & self.total.isfinite(), median, torch.nan).float()


class AngleWithin(AngleMetric):
    """Share of all valid pixels of the data set whose angle is below a bound, in percent.

    Args:
        degrees: The bound, a multiple of 0.001; 11.25, 22.5 and 30 are in use.

    Raises:
        ValueError: From the constructor for a bound outside of (0, 180] or between those multiples; from `update` if
            the shapes do not fit.

    Example:
        >>> metric = AngleWithin(30)
        >>> normals = torch.tensor([[1.0, 0.1, 0.0], [1.0, 1.0, 0.0]]).T.reshape(1, 3, 1, 2)
        >>> metric.update(normals, torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand_as(normals))
        >>> metric.compute().item()
        50.0
    """

    higher_is_better = True

    def __init__(self, degrees: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        on_a_bin = abs(degrees * BINS_PER_DEGREE - round(degrees * BINS_PER_DEGREE)) <= 1e-6
        require(0 < degrees <= 180 and on_a_bin, "degrees", degrees, "be a multiple of 0.001 in (0, 180]")
        self.degrees = degrees

    def compute(self) -> Tensor:
        """Return the share in percent; nan if no pixel is valid."""
        below = self.bins[: round(self.degrees * BINS_PER_DEGREE)].sum()
        return (100 * below.double() / self.bins.sum()).float()

"""Mean and median angle between predicted and true surface normals, and the share of small angles."""

from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.angles import BINS_PER_DEGREE, AngleMetric


class AngularError(AngleMetric):
    """Mean angle in degrees between predicted and true normals over all valid pixels of the data set.

    Predictions and targets are brought to unit length; a pixel is valid where the target is finite and not the zero
    vector (P1, section 3). Some code leaves the target as it is, or averages over batches; both change the number.

    Raises:
        ValueError: From `update` when the shapes do not fit.

    Example:
        >>> metric = AngularError()
        >>> tilted, towards_camera = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.0, 0.0, -1.0])
        >>> metric.update(tilted.view(1, 3, 1, 1), towards_camera.view(1, 3, 1, 1))
        >>> round(metric.compute().item(), 3)
        45.0
    """

    def compute(self) -> Tensor:
        """The mean angle in degrees; nan when no pixel was valid."""
        return (self.total / self.bins.sum()).float()


class MedianAngle(AngleMetric):
    """Median angle in degrees between predicted and true normals over all valid pixels of the data set.

    The median of all pixels, not the mean of the medians of batches that other code reports. Of an even number it is
    the mean of the two in the middle. It is right to 0.0005 degrees, however many pixels and processes there are.

    Raises:
        ValueError: From `update` when the shapes do not fit.

    Example:
        >>> metric = MedianAngle()
        >>> normals = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).T.reshape(1, 3, 1, 3)
        >>> metric.update(normals, torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand_as(normals))
        >>> round(metric.compute().item(), 2)
        45.0
    """

    def compute(self) -> Tensor:
        """The median angle in degrees; nan when no pixel was valid or a prediction was no number."""
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
        ValueError: From the constructor for a bound out of (0, 180] or between those multiples; from `update` when the
            shapes do not fit.

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
        if not 0 < degrees <= 180 or abs(degrees * BINS_PER_DEGREE - round(degrees * BINS_PER_DEGREE)) > 1e-6:
            raise ValueError(f"`degrees` should be a multiple of 0.001 in (0, 180]. Found `degrees = {degrees}`.")
        self.degrees = degrees

    def compute(self) -> Tensor:
        """The share in percent; nan when no pixel was valid."""
        below = self.bins[: round(self.degrees * BINS_PER_DEGREE)].sum()
        return (100 * below.double() / self.bins.sum()).float()

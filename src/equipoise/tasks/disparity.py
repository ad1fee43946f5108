"""Disparity: the distance in pixels between the images of a point in two cameras side by side."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import AbsoluteError, RelativeError
from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import Task, at_least_float32, masked_mean
from equipoise.tasks.drawing import shade

SMALLEST = 0.001
"""The smallest disparity in pixels that noise leaves; 0 would mean unknown."""


@register("disparity")
@dataclass(frozen=True, kw_only=True)
class Disparity(Task):
    """The disparity of every pixel, inverse to its depth.

    Targets are float32 `[1, H, W]` in pixels, 0 (or less) where unknown. The unit is a pixel of the image as the
    dataset reads it; transforms that resample the image do not rescale disparities. An infinitely distant point, whose
    disparity is 0, counts as unknown, because its relative error has no value. The code of Gama & Grassi (2025) does
    the same.

    The loss is the mean absolute error over the known pixels (Gama & Grassi, section 3.2).

    Attributes:
        largest: The disparity with the brightest colour in all pictures.

    Example:
        >>> task = Disparity(name="disparity")
        >>> task.loss(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[1.5, 0.0]]]]))
        tensor(0.5000)
    """

    largest: float = 16.0

    ignore: ClassVar[float | int] = 0
    metric = "abs"
    higher_is_better = False
    noise = 0.5

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a known disparity: above 0 and finite."""
        return (target > 0) & target.isfinite()

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute error over the known pixels, in pixels."""
        require_same_shape(prediction, target)
        valid = self.valid(target)
        return masked_mean((at_least_float32(prediction) - target.where(valid, 0)).abs(), valid)

    def metrics(self) -> dict[str, Metric]:
        """Return the mean absolute error in pixels and the mean relative error as a fraction."""
        return {"abs": AbsoluteError(above=0), "rel": RelativeError()}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction as it is: Gama & Grassi (2025) measure negative disparities, too."""
        return prediction

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the disparity with Gaussian noise of standard deviation `strength` in pixels, kept above 0."""
        noise = torch.randn(target.shape, generator=generator) * strength
        return (target + noise).clamp(min=SMALLEST).where(self.valid(target), target)

    def zoom(self, target: Tensor, factor: float) -> Tensor:
        """Return the disparities times `factor`: an object that looks twice as large has twice the disparity.

        The code of FAMO and CAGrad divides, as if disparities were depths.
        """
        return target * factor

    def draw(self, target: Tensor) -> Tensor:
        """Return the disparity from bright (near) to dark (far), grey where unknown."""
        disparity = target.detach().float().cpu()[0]
        return shade(disparity / self.largest, "magma").where(self.valid(disparity), 128)

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are values that are not finite."""
        wrong = (~target.isfinite()).sum().item()
        return [f"disparities should be finite; found {wrong} pixels that are not"] if wrong else []

"""Depth: the distance of every pixel along the viewing axis."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import AbsoluteError, DepthRMSE, DepthWithin, RelativeError
from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import UNLABELLED, Task, at_least_float32, masked_mean
from equipoise.tasks.drawing import shade

NEAREST = 0.001
"""The smallest depth in metres that noise leaves; 0 would mean unknown."""


@register("depth")
@dataclass(frozen=True, kw_only=True)
class Depth(Task):
    """The distance of every pixel. Targets are float32 `[1, H, W]` in metres, 0 (or less) where unknown.

    The loss is the mean absolute error over the known pixels ("balanced L1" of Guo et al. (2025), section V).

    Attributes:
        farthest: The depth in metres with the darkest colour in pictures, and the end of the last category. All
            pictures have this scale, so that a prediction can be compared with its target.
        nearest: The depth in metres at which the first category begins.
        bins: The number of categories.

    Raises:
        ValueError: `nearest` is not between 0 and `farthest`, or the number of bins is not 1 to 255.

    Example:
        >>> task = Depth(name="depth")
        >>> task.loss(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[1.5, 0.0]]]]))
        tensor(0.5000)
    """

    farthest: float = 10.0
    nearest: float = 0.7
    bins: int = 40

    ignore: ClassVar[float | int] = 0
    metric = "rmse"
    higher_is_better = False
    noise = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.nearest < self.farthest:
            raise ValueError(
                f"`nearest` should be between 0 and `farthest = {self.farthest}`. Found `nearest = {self.nearest}`."
            )
        if not 0 < self.bins <= UNLABELLED:
            raise ValueError(f"`bins` should be 1 to {UNLABELLED}. Found `bins = {self.bins}`.")

    @property
    def channels(self) -> int:
        """One."""
        return 1

    @property
    def categories(self) -> int:
        """The number of bins."""
        return self.bins

    def categorise(self, target: Tensor) -> Tensor:
        """Return the bin of every depth, int64 `[B, H, W]`, 255 where unknown.

        Bins are equally wide in the logarithm of the depth, from `nearest` to `farthest`. Nearer and farther depths
        fall into the first and last bin. 40 bins from 0.7 m to 10 m are those of the public ATRC.
        """
        valid = self.valid(target)
        known = target.where(valid, self.nearest)
        position = (known / self.nearest).log() / math.log(self.farthest / self.nearest)
        bins = (position * self.bins).floor().clamp(0, self.bins - 1)
        return bins.where(valid, UNLABELLED).long().squeeze(1)

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a known depth: above 0 and finite."""
        # Both comparisons are false for NaN.
        return (target > 0) & (target < math.inf)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute error over the known pixels, in metres."""
        require_same_shape(prediction, target)
        valid = self.valid(target)
        # Some datasets store holes as NaN, and no mask would stop its gradient.
        return masked_mean((at_least_float32(prediction) - target.where(valid, 0)).abs(), valid)

    def metrics(self) -> dict[str, Metric]:
        """Return the errors and the shares of nearly right pixels.

        `rmse`, the root of the mean squared error, and `abs`, the mean absolute error, are in metres. `abs_rel` is the
        mean of the absolute error divided by the depth, a fraction. `delta1` to `delta3` are the percentages of pixels
        within a factor of 1.25, 1.25^2 and 1.25^3.
        """
        return {
            "rmse": DepthRMSE(),
            "abs": AbsoluteError(above=0),
            "abs_rel": RelativeError(),
            **{f"delta{power}": DepthWithin(power) for power in (1, 2, 3)},
        }

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction without negative distances."""
        return prediction.clamp(min=0)

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the depth with Gaussian noise of standard deviation `strength` in metres, at least a millimetre."""
        noise = torch.randn(target.shape, generator=generator) * strength
        return (target + noise).clamp(min=NEAREST).where(self.valid(target), target)

    def zoom(self, target: Tensor, factor: float) -> Tensor:
        """Return the depths divided by `factor`: an object that looks twice as large is at half the distance."""
        return target / factor

    def draw(self, target: Tensor) -> Tensor:
        """Return the depth from bright (near) to dark (far), grey where unknown."""
        depth = target.detach().float().cpu()[0]
        picture = shade(1 - depth / self.farthest, "magma")
        return picture.where(self.valid(depth), 128)

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are values that are not finite."""
        wrong = (~target.isfinite()).sum().item()
        return [f"depths should be finite; found {wrong} pixels that are not"] if wrong else []

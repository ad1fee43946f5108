"""Depth: the distance of every pixel along the viewing axis."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torchmetrics import Metric

from equipoise.metrics import DepthRMSE
from equipoise.tasks.base import Task, at_least_float32, masked_mean, same_shape
from equipoise.tasks.colours import shade


@dataclass(frozen=True, kw_only=True)
class Depth(Task):
    """The distance of every pixel; targets are float32 ``[1, H, W]`` metres, 0 (or less) where unknown.

    The loss is the mean absolute error over the known pixels ("balanced L1" of paper one, section V).

    Attributes:
        farthest: The depth in metres that pictures draw in the darkest colour. One scale for all pictures, so that a
            prediction can be compared with its target.

    Examples:
        >>> import torch
        >>> task = Depth(name="depth")
        >>> task.loss(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[1.5, 0.0]]]]))
        tensor(0.5000)
    """

    farthest: float = 10.0

    kind = "depth"
    ignore: ClassVar[float | int] = 0
    metric = "rmse"
    higher_is_better = False

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a known depth: above 0 and finite."""
        return (target > 0) & target.isfinite()

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute error over the known pixels, in metres."""
        same_shape(prediction, target)
        valid = self.valid(target)
        # Holes are sometimes stored as NaN, whose gradient no mask would stop.
        return masked_mean((at_least_float32(prediction) - target.where(valid, 0)).abs(), valid)

    def metrics(self) -> dict[str, Metric]:
        """Return the root of the mean squared error, in metres."""
        return {"rmse": DepthRMSE()}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction without negative distances."""
        return prediction.clamp(min=0)

    def zoom(self, target: Tensor, factor: float) -> Tensor:
        """Return nearer depths: what appears ``factor`` times as large is at a ``factor``-th of the distance."""
        return target / factor

    def draw(self, target: Tensor) -> Tensor:
        """Return the depth from bright (near) to dark (far), grey where unknown."""
        depth = target.detach().float().cpu()[0]
        picture = shade(1 - depth / self.farthest, "magma")
        return picture.where(self.valid(depth), 128)

    def faults(self, target: Tensor) -> list[str]:
        """Return whether there are values that are no distance."""
        wrong = (~target.isfinite()).sum().item()
        return [f"depths should be finite; found {wrong} pixels that are not"] if wrong else []

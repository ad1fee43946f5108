"""Instance offsets: the position of every pixel of an object relative to the centre of the object."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import AbsoluteError
from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import Task, at_least_float32, check_whole, masked_mean


@register("instance_offsets")
@dataclass(frozen=True, kw_only=True)
class InstanceOffsets(Task):
    """The offset of every pixel from the centre of its object (Gama & Grassi (2025), section 3.2).

    Targets are float32 `[2, H, W]`, (down, right) in pixels: the position of the pixel minus the mean position of the
    pixels of its object, and infinity where there is no object. (The code of Gama & Grassi writes -1 there, and so
    loses every pixel whose offset happens to be -1.)

    The centre is that of the visible part of an object, so it moves when the image is cut, scaled, rotated or mirrored.
    A dataset therefore reads the instance numbers, float32 `[1, H, W]`, also with infinity where there is no object.
    Transforms act on these numbers, and `finish` computes the offsets afterwards.

    The loss is the mean absolute error of both coordinates over the pixels of objects.

    Attributes:
        farthest: The offset in pixels with the full colour in pictures.

    Example:
        >>> task = InstanceOffsets(name="instance")
        >>> numbers = torch.tensor([[[7.0, 7.0, 7.0, 3.0, torch.inf]]])
        >>> task.finish(numbers)[1]
        tensor([[-1., 0., 1., 0., inf]])
        >>> task.loss(torch.zeros(1, 2, 1, 5), task.finish(numbers)[None])
        tensor(0.2500)
    """

    farthest: float = 20.0

    ignore: ClassVar[float | int] = math.inf
    metric = "abs"
    higher_is_better = False

    @property
    def channels(self) -> int:
        """Two: down and right."""
        return 2

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels belong to an object, with one channel, for instance numbers and for offsets."""
        return target.isfinite().all(dim=-3, keepdim=True)

    def finish(self, target: Tensor) -> Tensor:
        """Return the offsets `[2, H, W]` for the instance numbers `[1, H, W]`."""
        inside = self.valid(target)[0]
        _, instance = target[0][inside].unique(return_inverse=True)
        # Sums in float64 are exact for any image.
        positions = inside.nonzero().T.double()
        sums = torch.stack([torch.bincount(instance, weights=axis) for axis in positions])
        means = sums / torch.bincount(instance)
        offsets = target.new_full((2, *inside.shape), self.ignore)
        offsets[:, inside] = (positions - means[:, instance]).to(offsets.dtype)
        return offsets

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute error of both coordinates over the pixels of objects, in pixels."""
        require_same_shape(prediction, target)
        valid = self.valid(target)
        error = (at_least_float32(prediction) - target.where(valid, 0)).abs()
        return masked_mean(error, valid) / self.channels

    def metrics(self) -> dict[str, Metric]:
        """Return the mean absolute error of both coordinates, in pixels."""
        return {"abs": AbsoluteError()}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction as it is."""
        return prediction

    def draw(self, target: Tensor) -> Tensor:
        """Return offsets as colours: more red further down, more blue further right, black where there is no object."""
        offsets = target.detach().float().cpu()
        valid = self.valid(offsets)
        down, right = ((offsets.where(valid, 0) / self.farthest).clamp(-1, 1) * 127 + 128).round()
        picture = torch.stack([down, torch.full_like(down, 96), right]).to(torch.uint8)
        return picture.where(valid, 0)

    def from_map(self, values: Tensor) -> Tensor:
        """Return the instance numbers from a map of one channel."""
        if len(values) != 1:
            raise ValueError(f"should have one channel with the numbers of the instances; it has {len(values)}")
        check_whole(values)
        return values.to(self.dtype)

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are values that are NaN."""
        wrong = target.isnan().any(dim=-3).sum().item()
        return (
            [f"offsets should be numbers, or infinity where there is no object; found {wrong} pixels"] if wrong else []
        )

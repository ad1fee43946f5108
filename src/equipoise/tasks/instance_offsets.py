"""Instance offsets: where every pixel of a thing lies relative to the middle of the thing."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import AbsoluteError
from equipoise.tasks.base import Task, at_least_float32, check_whole, masked_mean, same_shape


@register("instance_offsets")
@dataclass(frozen=True, kw_only=True)
class InstanceOffsets(Task):
    """The way from the middle of its thing to every pixel (P2, section 3.2).

    Targets are float32 ``[2, H, W]``: (down, right) in pixels, the pixel's position minus the mean position of its
    thing's pixels, and infinity where there is no thing. (P2's code writes -1 there, and so loses every pixel whose
    offset happens to be -1.)

    The middle of a thing is that of what an image shows of it, so it moves when the image is cut, scaled, rotated or
    mirrored. A dataset therefore reads the numbers of the things, float32 ``[1, H, W]`` with infinity again where there
    is none; transforms act on these, and :meth:`finish` makes offsets of what they leave.

    The loss is the mean absolute error of both coordinates over the pixels of things.

    Attributes:
        farthest: The offset in pixels that pictures draw in full colour.

    Examples:
        >>> task = InstanceOffsets(name="instance")
        >>> things = torch.tensor([[[7.0, 7.0, 7.0, 3.0, torch.inf]]])
        >>> task.finish(things)[1]
        tensor([[-1., 0., 1., 0., inf]])
        >>> task.loss(torch.zeros(1, 2, 1, 5), task.finish(things)[None])
        tensor(0.2500)
    """

    farthest: float = 20.0

    kind = "instance_offsets"
    ignore: ClassVar[float | int] = math.inf
    metric = "abs"
    higher_is_better = False

    @property
    def channels(self) -> int:
        """Two: down and right."""
        return 2

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels belong to a thing, with one channel; of numbers as of offsets."""
        return target.isfinite().all(dim=-3, keepdim=True)

    def finish(self, target: Tensor) -> Tensor:
        """Turn the numbers of the things, ``[1, H, W]``, into offsets ``[2, H, W]``."""
        inside = self.valid(target)[0]
        _, thing = target[0][inside].unique(return_inverse=True)
        # Float64 sums stay exact for any image.
        positions = inside.nonzero().T.double()
        sums = torch.stack([torch.bincount(thing, weights=axis) for axis in positions])
        means = sums / torch.bincount(thing)
        offsets = target.new_full((2, *inside.shape), self.ignore)
        offsets[:, inside] = (positions - means[:, thing]).to(offsets.dtype)
        return offsets

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute error of both coordinates over the pixels of things, in pixels."""
        same_shape(prediction, target)
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
        """Return offsets as colours: more red further down, more blue further right, black where there is no thing."""
        offsets = target.detach().float().cpu()
        valid = self.valid(offsets)
        down, right = ((offsets.where(valid, 0) / self.farthest).clamp(-1, 1) * 127 + 128).round()
        picture = torch.stack([down, torch.full_like(down, 96), right]).to(torch.uint8)
        return picture.where(valid, 0)

    def from_map(self, values: Tensor) -> Tensor:
        """Return the numbers of the things from a map of one channel."""
        if len(values) != 1:
            raise ValueError(f"should have one channel with the numbers of the things; it has {len(values)}")
        check_whole(values)
        return values.to(self.dtype)

    def faults(self, target: Tensor) -> list[str]:
        """Return whether there are values that are no offset."""
        wrong = target.isnan().any(dim=-3).sum().item()
        return [f"offsets should be numbers, or infinity where no thing is; found {wrong} pixels"] if wrong else []

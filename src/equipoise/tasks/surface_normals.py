"""Surface normals: the direction that the surface under every pixel faces."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise.metrics import AngularError
from equipoise.tasks.base import Task, at_least_float32, masked_mean, same_shape

SHORTEST = 1e-6
"""Predictions shorter than this are not stretched to unit length, which bounds the gradient at a zero vector."""

TOLERANCE = 0.01
"""How far the length of a unit vector in a target may be from 1: more than the rounding of float16."""


@dataclass(frozen=True, kw_only=True)
class SurfaceNormals(Task):
    """The direction of the surface; targets are float32 ``[3, H, W]`` unit vectors, the zero vector where unknown.

    The frame is the camera's: x to the right, y down, z forward; what can be seen faces the camera, z < 0.

    The loss is the absolute difference of the unit vectors (the prediction is normalised first). Two forms are in use,
    a factor of three apart, which changes what a loss weight means: the public InvPT sums over the three components
    and divides by the number of known pixels; the public Multi-Task-Learning-PyTorch averages over components too.
    Paper one does not say which it means.

    Attributes:
        average_over: ``"pixels"`` for the first form, ``"components"`` for the second.

    Raises:
        ValueError: ``average_over`` is neither.

    Examples:
        >>> task = SurfaceNormals(name="normals")
        >>> target = torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
        >>> task.loss(torch.tensor([0.0, -5.0, 0.0]).reshape(1, 3, 1, 1), target)
        tensor(2.)
    """

    average_over: Literal["pixels", "components"] = "pixels"

    kind = "surface_normals"
    ignore: ClassVar[float | int] = 0
    metric = "merr"
    higher_is_better = False

    def __post_init__(self) -> None:
        if self.average_over not in ("pixels", "components"):
            raise ValueError(
                f"`average_over` should be 'pixels' or 'components'. Found `average_over = {self.average_over!r}`."
            )

    @property
    def channels(self) -> int:
        """Three: x, y, z."""
        return 3

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a known direction, with one channel.

        The vector is compared with zero as a whole: the sum of the components, which some public code tests, is zero
        for known directions too.
        """
        return (target != 0).any(dim=-3, keepdim=True)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute difference of the unit vectors over the known pixels."""
        same_shape(prediction, target)
        unit = functional.normalize(at_least_float32(prediction), dim=1, eps=SHORTEST)
        loss = masked_mean((unit - target).abs(), self.valid(target))
        return loss / self.channels if self.average_over == "components" else loss

    def metrics(self) -> dict[str, Metric]:
        """Return the mean angle between prediction and target, in degrees."""
        return {"merr": AngularError()}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the predictions as unit vectors."""
        return functional.normalize(at_least_float32(prediction), dim=1, eps=SHORTEST)

    def flip(self, target: Tensor) -> Tensor:
        """Return the mirrored target: positions and the x component change sides."""
        return target.flip(-1) * target.new_tensor([-1, 1, 1])[:, None, None]

    def draw(self, target: Tensor) -> Tensor:
        """Return the directions as colours, black where unknown.

        Red is right, green is up and blue is towards the camera, each from 0 (away) to 255, as is usual.
        """
        normals = target.detach().float().cpu()
        right_up_towards = normals * torch.tensor([1.0, -1.0, -1.0])[:, None, None]
        picture = ((right_up_towards + 1) / 2 * 255).round().clamp(0, 255).to(torch.uint8)
        return picture.where(self.valid(normals), 0)

    def faults(self, target: Tensor) -> list[str]:
        """Return whether there are vectors that are no directions."""
        length = target.float().norm(dim=-3, keepdim=True)
        # Written so that a NaN, which no comparison holds for, is counted.
        wrong = (self.valid(target) & ~((length - 1).abs() <= TOLERANCE)).sum().item()
        return [f"normals should have length 1; found {wrong} pixels where they have not"] if wrong else []

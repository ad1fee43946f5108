"""Angle between predicted and true surface normals."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric


def summed_angle(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over valid pixels of the angle in degrees (float64), and the number of valid pixels (int64).

    Both are brought to unit length; the angle is `2 atan2(|p - t|, |p + t|)`, which stays exact for small and for
    opposite directions, where `acos(p . t)` loses half of its digits.

    Args:
        prediction: Vectors of any length, `[B, 3, H, W]`. A zero vector is 90 degrees from everything.
        target: Vectors `[B, 3, H, W]`. A pixel is valid where the vector is finite and not zero.

    Raises:
        ValueError: When the shapes differ or the vectors have not three components.

    Example:
        >>> total, valid = summed_angle(torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([[0.0, 0.0, -1.0]]))
        >>> round(total.item(), 3), valid.item()
        (90.0, 1)
    """
    if prediction.shape != target.shape or target.ndim < 2 or target.shape[1] != 3:
        raise ValueError(
            "`prediction` and `target` should be [B, 3, ...] of one shape. Found "
            f"`prediction.shape = {tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
        )
    valid = target.isfinite().all(dim=1) & (target != 0).any(dim=1)
    # Tiny lengths survive in float64, where the epsilon below which `normalize` gives up is far from any float32
    # vector.
    prediction = normalize(prediction.double(), dim=1, eps=1e-60)
    target = normalize(target.double(), dim=1, eps=1e-60)
    angle = 2 * torch.atan2((prediction - target).norm(dim=1), (prediction + target).norm(dim=1))
    return torch.where(valid, angle, 0.0).sum().rad2deg(), valid.sum()


class AngularError(Metric):
    """Mean angle in degrees between predicted and true normals over all valid pixels of the data set.

    Predictions and targets are brought to unit length; a pixel is valid where the target is finite and not the zero
    vector (P1, section 3). Some code leaves the target as it is, or averages over batches; both change the number.

    Example:
        >>> metric = AngularError()
        >>> tilted, towards_camera = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.0, 0.0, -1.0])
        >>> metric.update(tilted.view(1, 3, 1, 1), towards_camera.view(1, 3, 1, 1))
        >>> round(metric.compute().item(), 3)
        45.0
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
        """Adds a batch of normals `[B, 3, H, W]`. Raises ValueError when the shapes do not fit."""
        total, valid = summed_angle(prediction, target)
        self.total += total
        self.valid += valid

    def compute(self) -> Tensor:
        """The mean angle in degrees; nan when no pixel was valid."""
        return (self.total / self.valid).float()

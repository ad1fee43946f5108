"""The angles between predicted and true surface normals, summed and sorted into bins."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.shared_state import SharedState

BINS_PER_DEGREE = 1000
"""How finely angles are sorted: half a bin is what a median may be off."""


def angles(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The angle in degrees of every pixel, and which pixels are valid.

    The angle is `atan2(|p x t|, p . t)`, for which lengths do not matter and which stays exact for small and for
    opposite directions, where `acos` of the product of unit vectors loses half of its digits.

    Args:
        prediction: Vectors of any length, `[B, 3, H, W]`. A zero vector is 90 degrees from everything.
        target: Vectors `[B, 3, H, W]`. A pixel is valid where the vector is finite and not zero.

    Returns:
        float64 `[B, H, W]`, 0 where not valid; and bool `[B, H, W]`.

    Raises:
        ValueError: When the shapes differ or the vectors have not three components.

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
    """Sums the angles of a data set and sorts them into bins; a subclass says in `compute` what it reads from them.

    Bins of a thousandth of a degree stand for the angles themselves, which would have to be kept for a median and sent
    between processes: 170 million of them for the test images of NYUD.

    Raises:
        ValueError: From `update` when the shapes do not fit.
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
        """One for all."""
        return AngleMetric

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch of normals `[B, 3, H, W]`. Raises ValueError when the shapes do not fit."""
        degrees, valid = angles(prediction, target)
        self.total += degrees.sum()
        # A prediction that is no number makes the sum so; its bin must exist all the same.
        place = (degrees.nan_to_num(nan=180.0) * BINS_PER_DEGREE).long().clamp(max=len(self.bins) - 1)
        self.bins.index_add_(0, place.flatten(), valid.flatten().long())

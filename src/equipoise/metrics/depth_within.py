"""The share of depths that are nearly right."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.shared_state import SharedState

RATIO = 1.25
POWERS = 3


def counts_within(prediction: Tensor, target: Tensor) -> Tensor:
    """Counts depths within a factor of the true ones, without waiting for the device.

    Args:
        prediction: Depth, `[B, 1, H, W]` or any shape.
        target: Depth of the same shape. A pixel is valid where it is finite and above 0.

    Returns:
        int64 `[4]`: the number of valid pixels, and of those with `max(p / t, t / p) < 1.25^k` for k = 1, 2, 3. No
        prediction that is not above 0 is among these.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> counts_within(torch.tensor([1.2, 3.0, 9.0]), torch.tensor([1.0, 2.0, 0.0])).tolist()
        [2, 1, 2, 2]
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"`prediction` should have the shape of `target`. Found `prediction.shape = {tuple(prediction.shape)}` "
            f"and `target.shape = {tuple(target.shape)}`."
        )
    valid = (target > 0) & target.isfinite()
    predicted, true = prediction.double(), target.double().where(valid, 1)
    factor = torch.maximum(predicted / true, true / predicted).where(valid & (predicted > 0), torch.inf)
    return torch.stack([valid.sum(), *((factor < RATIO**power).sum() for power in range(1, POWERS + 1))])


class DepthWithin(SharedState):
    """Share of all valid pixels of the data set with `max(p / t, t / p) < 1.25^power`, in percent.

    Known as delta 1 to 3 (Eigen et al., "Depth map prediction from a single image", 2014). A pixel is valid where the
    target is finite and above 0.

    Args:
        power: 1, 2 or 3.

    Raises:
        ValueError: From the constructor for another power; from `update` when the shapes differ.

    Example:
        >>> metric = DepthWithin(power=1)
        >>> metric.update(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[1.1, 2.0, 0.0]]]]))
        >>> metric.compute().item()
        50.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor

    def __init__(self, power: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if power not in range(1, POWERS + 1):
            raise ValueError(f"`power` should be 1, 2 or 3. Found `power = {power}`.")
        self.power = power
        self.add_state("counts", torch.zeros(1 + POWERS, dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """One for all powers."""
        return DepthWithin

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch of depth maps `[B, 1, H, W]`. Raises ValueError when the shapes differ."""
        self.counts += counts_within(prediction, target)

    def compute(self) -> Tensor:
        """The share in percent; nan when no pixel was valid."""
        return (100 * self.counts[self.power].double() / self.counts[0]).float()

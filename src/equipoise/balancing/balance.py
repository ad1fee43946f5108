"""What one step did, for the caller."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Balance:
    """What one step did. Tensors are on the losses' device; reading one as a number waits for the device.

    Attributes:
        losses: Loss by task, mean over processes.
        weights: What each task's loss was multiplied by, for methods whose update is a weighted sum of their gradients.
        norms: Norm of each task's unweighted gradient, where the method measured it.
        cosines: Cosines between task gradients, [T, T] in the order of `losses`, where the method measured them.
        skipped: Whether the step was left out because a loss or gradient was not finite. There is nothing for an
            optimiser to do then, except under a gradient scaler, which skips the step itself.
    """

    losses: dict[str, Tensor]
    weights: dict[str, Tensor] | None = None
    norms: dict[str, Tensor] | None = None
    cosines: Tensor | None = None
    skipped: bool = False


def norms_and_cosines(tasks: Sequence[str], gram: Tensor) -> dict[str, Any]:
    """The fields `norms` and `cosines` of a `Balance`, from the inner products of the task gradients, [T, T]."""
    norms = gram.diagonal().clamp(min=0).sqrt()
    safe = torch.where(norms > 0, norms, torch.ones_like(norms))
    return {"norms": dict(zip(tasks, norms, strict=True)), "cosines": gram / (safe[:, None] * safe[None, :])}

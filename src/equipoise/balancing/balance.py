"""The result of one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Balance:
    """The result of one step. Tensors are on the losses' device. Reading one as a number waits for the device.

    Attributes:
        losses: Loss by task, mean over processes.
        weights: Factor of each task's loss. None for methods whose update is no weighted sum of task gradients.
        norms: Norm of each task's unweighted gradient; None if the method measured no gradients.
        cosines: Cosines between task gradients, [T, T] in the order of `losses`; None if the method measured none.
        skipped: Whether the step was skipped because a loss or gradient was not finite. The optimiser should not step
            then. With a gradient scaler call `scaler.step` as usual: it skips the step itself.
    """

    losses: dict[str, Tensor]
    weights: dict[str, Tensor] | None = None
    norms: dict[str, Tensor] | None = None
    cosines: Tensor | None = None
    skipped: bool = False


def norms_and_cosines(tasks: Sequence[str], gram: Tensor) -> dict[str, Any]:
    """Return the fields `norms` and `cosines` of a `Balance`, from a Gram matrix, [T, T]."""
    norms = gram.diagonal().clamp(min=0).sqrt()
    safe = torch.where(norms > 0, norms, torch.ones_like(norms))
    return {"norms": dict(zip(tasks, norms, strict=True)), "cosines": gram / (safe[:, None] * safe[None, :])}

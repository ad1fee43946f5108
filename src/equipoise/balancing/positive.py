"""What the methods that take logarithms of losses ask of them."""

from torch import Tensor

from equipoise.balancing.evidence import Evidence


def positive_losses(evidence: Evidence, method: str) -> Tensor:
    """Where losses are positive, [T]; the others are zero, from tasks that have nothing to learn in this batch.

    Raises:
        ValueError: A loss is negative.
    """
    for task, value in zip(evidence.tasks, evidence.losses.tolist(), strict=True):
        if value < 0:
            raise ValueError(
                f"`losses[{task!r}]` should be positive: {method} takes its logarithm. Found {value:g}. Add a constant "
                "that makes the loss positive, or use a method that looks at gradients, such as `avgnorm`."
            )
    return evidence.losses > 0

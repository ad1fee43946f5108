"""What a method makes of a step, and the gradients that follow from it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.balancing.rows import Rows
from equipoise.balancing.source import Source
from equipoise.balancing.step import Step


@dataclass(frozen=True)
class Decision:
    """What a method makes of the evidence.

    Attributes:
        weights: [T], of the task gradients in the update of the shared parameters; none if it gives a direction.
        direction: [P], the gradient that the shared parameters (or the features) receive instead of a weighted sum.
        head_weights: [T], for the tasks' own parameters; none if they are the weights, or ones where there are no
            weights.
        complete: Whether the weighted sum of the losses' gradients is the whole update: not if `objectives` adds to it.
    """

    weights: Tensor | None = None
    direction: Tensor | None = None
    head_weights: Tensor | None = None
    complete: bool = True


def gradients_of(decision: Decision, step: Step, rows: Rows | None, source: Source) -> dict[Tensor, Tensor]:
    """What every leaf of a step receives, reduced over processes.

    Args:
        decision: What the method decided.
        step: The step.
        rows: The task gradients that the method saw, if any.
        source: Where it saw them.

    Raises:
        TypeError: The decision is on no weights, and on no direction where one is possible.
    """
    weights, heads = decision.weights, decision.head_weights
    if weights is not None:
        if source is Source.SHARED and rows is not None:
            return step.combined(rows, weights, weights if heads is None else heads)
        return step.weighted(weights, heads)
    if decision.direction is None or rows is None or source is Source.LAST_LAYER:
        raise TypeError(
            "A method should decide on weights, or, if it sees the features or the shared parameters, on a direction."
        )
    heads = torch.ones(len(step.tasks), device=decision.direction.device) if heads is None else heads
    directed = step.directed if source is Source.SHARED else step.directed_features
    return directed(rows, decision.direction, heads)

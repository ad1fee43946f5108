"""What a method makes of a step, and the gradients that follow from it."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from equipoise.balancing.context import Context
from equipoise.balancing.engine.step import Step
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.info import Place


@dataclass(frozen=True)
class Update:
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


def gradients_of(update: Update, step: Step, rows: TaskGradients | None, source: Place) -> dict[Tensor, Tensor]:
    """What every leaf of a step receives, reduced over processes.

    Args:
        update: What the method decided.
        step: The step.
        rows: The task gradients that the method saw, if any.
        source: Where it saw them.

    Raises:
        TypeError: The decision is on no weights, and on no direction where one is possible.
    """
    weights, heads = update.weights, update.head_weights
    if weights is not None:
        if source is Place.SHARED and rows is not None:
            return step.combined(rows, weights, weights if heads is None else heads)
        return step.weighted(weights, heads)
    if update.direction is None or rows is None or source is Place.LAST_LAYER:
        raise TypeError(
            "A method should decide on weights, or, if it sees the features or the shared parameters, on a direction."
        )
    heads = torch.ones(len(step.tasks), device=update.direction.device) if heads is None else heads
    directed = step.directed if source is Place.SHARED else step.directed_features
    return directed(rows, update.direction, heads)


@dataclass(frozen=True)
class StepInputs:
    """What a method sees of one step.

    Tensors carry no graph and, but for those at the features, are the same on every process.

    Attributes:
        tasks: The T tasks present, in the order of the losses.
        losses: [T], means over processes.
        gram: Inner products of the task gradients, [T, T], float64, if the method asked for gradients.
        gradients: The task gradients themselves, in pieces, if it asked for gradients.
        features: The features, if it looks there; like the gradients there, those of this process's part of the batch.
        context: Where further forward passes come from.
        step: The step that is being made, for the methods that go on differentiating.
        scale: What the gradients of `step`, and those that arrive in `.grad`, are multiplied by: the scaler's factor.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    gram: Tensor | None = None
    gradients: TaskGradients | None = None
    features: tuple[Tensor, ...] = ()
    context: Context = field(default_factory=Context)
    step: Step | None = None
    scale: float = 1.0

    @cached_property
    def rows(self) -> Tensor:
        """The task gradients as a matrix of their own, [T, P].

        Raises:
            TypeError: The method did not ask for gradients.
        """
        if self.gradients is None:
            raise TypeError(
                "A method that sees losses alone has no gradients to look at; its `source` should say what it needs."
            )
        return self.gradients.matrix()


def positive_losses(inputs: StepInputs, method: str) -> Tensor:
    """Where losses are positive, [T]; the others are zero, from tasks that have nothing to learn in this batch.

    Raises:
        ValueError: A loss is negative.
    """
    for task, value in zip(inputs.tasks, inputs.losses.tolist(), strict=True):
        if value < 0:
            raise ValueError(
                f"`losses[{task!r}]` should be positive: {method} takes its logarithm. Found {value:g}. Add a constant "
                "that makes the loss positive, or use a method that looks at gradients, such as `avgnorm`."
            )
    return inputs.losses > 0

"""The inputs of a method in one step, and the update that it returns."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from equipoise.balancing.context import Context
from equipoise.balancing.engine.step import Step
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.info import Place


@dataclass(frozen=True)
class StepInputs:
    """Losses and gradients of one step.

    Tensors carry no graph. They are the same on every process, except those at the features.

    Attributes:
        tasks: The T tasks in this batch, in the order of the losses.
        losses: [T], means over processes.
        gram: Inner products of the task gradients, [T, T], float64, if the method measures gradients.
        gradients: The task gradients themselves, in pieces, if the method measures gradients.
        features: The features, if the method measures there. Like the gradients there, they belong to this process's
            part of the batch.
        context: Further forward passes.
        step: The step itself, for methods that differentiate further.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    gram: Tensor | None = None
    gradients: TaskGradients | None = None
    features: tuple[Tensor, ...] = ()
    context: Context = field(default_factory=Context)
    step: Step | None = None

    @property
    def scale(self) -> float:
        """Factor of the gradient scaler, contained in the gradients of `step` and in `.grad`."""
        return 1.0 if self.step is None else self.step.scale

    @cached_property
    def rows(self) -> Tensor:
        """Task gradients as a new matrix, [T, P].

        Raises:
            TypeError: The method measures losses alone.
        """
        if self.gradients is None:
            raise TypeError("The method should measure gradients to use `rows`. Its `place` is the losses alone.")
        return self.gradients.matrix()

    def positive_losses(self, method: str) -> Tensor:
        """Return which losses are positive, [T]. The others are zero: their tasks learn nothing from this batch.

        Raises:
            ValueError: A loss is negative.
        """
        for task, value in zip(self.tasks, self.losses.tolist(), strict=True):
            if value < 0:
                raise ValueError(
                    f"`losses[{task!r}]` should be positive: {method} takes its logarithm. Found {value:g}. Add a "
                    "constant that makes the loss positive, or use a method that measures gradients, such as `avgnorm`."
                )
        return self.losses > 0


@dataclass(frozen=True)
class Update:
    """The update of a step.

    Attributes:
        weights: [T], weights of the task gradients at the shared parameters. None if there is a direction.
        direction: [P], gradient that the shared parameters (or the features) receive instead of a weighted sum.
        head_weights: [T], weights of the task gradients at the tasks' own parameters. None for `weights`, or for ones
            if there are no weights.
        complete: Whether the weighted sum of the losses' gradients is the whole update. It is not if `objectives` adds
            terms.
    """

    weights: Tensor | None = None
    direction: Tensor | None = None
    head_weights: Tensor | None = None
    complete: bool = True

    def received(self, step: Step, measured: TaskGradients | None, place: Place) -> dict[Tensor, Tensor]:
        """Return the gradient that every leaf of a step receives, reduced over processes.

        Args:
            step: The step.
            measured: Task gradients that the method measured, if any.
            place: Where it measured them.

        Raises:
            TypeError: There are no weights, and no direction where one is possible.
        """
        weights, heads = self.weights, self.head_weights
        if weights is not None:
            if place is Place.SHARED and measured is not None:
                return step.update_from_gradients(measured, weights, weights if heads is None else heads)
            return step.update_from_weights(weights, heads)
        if self.direction is None or measured is None or place is Place.LAST_LAYER:
            raise TypeError(
                "A method should return weights, or, if it measures at the features or the shared parameters, a "
                "direction."
            )
        heads = torch.ones(len(step.tasks), device=self.direction.device) if heads is None else heads
        shared = place is Place.SHARED
        update = step.update_from_direction if shared else step.update_from_feature_direction
        return update(measured, self.direction, heads)

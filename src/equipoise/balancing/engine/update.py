"""What a method is given of a step, and the update that it answers with."""

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
    """Losses and gradients of one step, as a method gets them.

    Tensors carry no graph and, but for those at the features, are the same on every process.

    Attributes:
        tasks: The T tasks present, in the order of the losses.
        losses: [T], means over processes.
        gram: Inner products of the task gradients, [T, T], float64, if the method measures gradients.
        gradients: The task gradients themselves, in pieces, if the method measures gradients.
        features: The features, if it measures there; like the gradients there, those of this process's part of the
            batch.
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
        """The factor of the gradient scaler, by which gradients of `step` and in `.grad` are multiplied."""
        return 1.0 if self.step is None else self.step.scale

    @cached_property
    def rows(self) -> Tensor:
        """The task gradients as a new matrix, [T, P].

        Raises:
            TypeError: The method measures losses alone.
        """
        if self.gradients is None:
            raise TypeError("There are no gradients to read: the method's `place` is the losses alone.")
        return self.gradients.matrix()

    def positive_losses(self, method: str) -> Tensor:
        """Return which losses are positive, [T]; the others are zero: their tasks have nothing to learn in this batch.

        Raises:
            ValueError: A loss is negative.
        """
        for task, value in zip(self.tasks, self.losses.tolist(), strict=True):
            if value < 0:
                raise ValueError(
                    f"`losses[{task!r}]` should be positive: {method} takes its logarithm. Found {value:g}. Add a "
                    "constant that makes the loss positive, or use a method that looks at gradients, such as `avgnorm`."
                )
        return self.losses > 0


@dataclass(frozen=True)
class Update:
    """The update of a step, as a method decides on it.

    Attributes:
        weights: [T], of the task gradients in the update of the shared parameters; None if it gives a direction.
        direction: [P], the gradient that the shared parameters (or the features) receive instead of a weighted sum.
        head_weights: [T], for the tasks' own parameters; None for the weights themselves, or for ones where there are
            no weights.
        complete: Whether the weighted sum of the losses' gradients is the whole update: not if `objectives` adds to it.
    """

    weights: Tensor | None = None
    direction: Tensor | None = None
    head_weights: Tensor | None = None
    complete: bool = True

    def received(self, step: Step, measured: TaskGradients | None, place: Place) -> dict[Tensor, Tensor]:
        """Return the gradient that every leaf of a step receives, reduced over processes.

        Args:
            step: The step.
            measured: The task gradients that the method measured, if any.
            place: Where it measured them.

        Raises:
            TypeError: There are no weights, and no direction where one is possible.
        """
        weights, heads = self.weights, self.head_weights
        if weights is not None:
            if place is Place.SHARED and measured is not None:
                return step.combined(measured, weights, weights if heads is None else heads)
            return step.weighted(weights, heads)
        if self.direction is None or measured is None or place is Place.LAST_LAYER:
            raise TypeError(
                "A method should return weights, or, if it measures at the features or the shared parameters, a "
                "direction."
            )
        heads = torch.ones(len(step.tasks), device=self.direction.device) if heads is None else heads
        directed = step.directed if place is Place.SHARED else step.directed_features
        return directed(measured, self.direction, heads)

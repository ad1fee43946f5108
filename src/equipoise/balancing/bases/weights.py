"""Base classes of methods by their result: weights, weights from gradients, or a direction."""

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise.balancing.balancer import Balancer
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import MethodInfo, Place

MeasureAt = Literal["last_layer", "features", "shared"]
"""Values of the hyper-parameter `measure_at`."""


class WeightBalancer(Balancer):
    """A method whose update is a weighted sum of task gradients."""

    @abstractmethod
    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights, [T], of the task gradients in the update."""

    def head_weights(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        """Compute the weights, [T], for the tasks' own parameters; None if they are the weights themselves."""
        return None

    def decide(self, inputs: StepInputs) -> Update:
        """Weigh shared parameters and heads."""
        weights = self.weigh(inputs)
        if not isinstance(weights, Tensor) or weights.shape != inputs.losses.shape:
            found = list(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
            raise ValueError(
                f"`{type(self).__name__}.weigh` should return a tensor with a weight for each of the "
                f"{len(inputs.tasks)} tasks. Found `{found}`."
            )
        weights = weights.to(inputs.losses)
        return Update(weights, head_weights=self.head_weights(inputs, weights))


class GradientBalancer(WeightBalancer):
    """A method that computes its weights from the task gradients, usually from their Gram matrix alone.

    Args:
        measure_at: Where gradients are measured: at all shared parameters, at the features, or at the last shared
            layer. The weights always apply to all shared parameters.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, or the plain one.
    """

    measure_at: MeasureAt = hyper(default="shared")
    scale_heads: bool = hyper(default=False)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        info = vars(cls).get("info")
        if not isinstance(info, MethodInfo):
            return
        default: Any = next(field.default for field in dataclasses.fields(cls) if field.name == "measure_at")
        if info.default_place is Place.LOSSES:
            # It was left out.
            cls.info = dataclasses.replace(info, default_place=Place[default.upper()])
        elif info.default_place is not Place[default.upper()]:
            raise TypeError(
                f"`{cls.__name__}.info.default_place` should be the default of `measure_at`. Found "
                f"`default_place = {info.default_place}` and `measure_at = {default!r}`. Declare "
                "`measure_at: MeasureAt = hyper(default=...)` in the class, or change `default_place`."
            )

    def place(self, tasks: Sequence[str]) -> Place:
        """Return the chosen place."""
        return Place[self.measure_at.upper()]

    def head_weights(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        """Weigh the heads like the shared parameters, or by ones with `scale_heads=False`."""
        return None if self.scale_heads else torch.ones_like(weights)


class DirectionBalancer(Balancer):
    """A method whose update is computed from single entries of the task gradients, and is no weighted sum of them.

    Args:
        measure_at: Gradient that the direction replaces: that of all shared parameters ("shared"), or that of the
            features ("features"), from which it continues through the trunk.
    """

    measure_at: Literal["features", "shared"] = hyper(default="shared")

    def place(self, tasks: Sequence[str]) -> Place:
        """Return the chosen place."""
        return Place[self.measure_at.upper()]

    @abstractmethod
    def direct(self, inputs: StepInputs) -> Tensor:
        """Compute the direction, [P], in the order and length of a row of `inputs.rows`."""

    def head_weights(self, inputs: StepInputs) -> Tensor | None:
        """Compute the weights, [T], for the tasks' own parameters; None for ones."""
        return None

    def decide(self, inputs: StepInputs) -> Update:
        """Give the shared parameters the direction, and weigh the heads."""
        return Update(direction=self.direct(inputs), head_weights=self.head_weights(inputs))

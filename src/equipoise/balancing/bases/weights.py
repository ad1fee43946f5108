"""The bases of methods: by weights, by weights from gradients, by a direction."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.balancing.balancer import Balancer, Common
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.info import Place

MeasureAt = Literal["last_layer", "features", "shared"]

_PLACES = {"last_layer": Place.LAST_LAYER, "features": Place.FEATURES, "shared": Place.SHARED}


class WeightBalancer(Balancer):
    """A method whose update is a weighted sum of task gradients."""

    @abstractmethod
    def weigh(self, inputs: StepInputs) -> Tensor:
        """The weights, [T], of the task gradients in the update."""

    def head_weights(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        """The weights, [T], for the tasks' own parameters; none if they are the weights themselves."""
        return None

    def decide(self, inputs: StepInputs) -> Update:
        """The weights, for shared parameters and heads."""
        weights = self.weigh(inputs).to(inputs.losses)
        return Update(weights, head_weights=self.head_weights(inputs, weights))


class GradientBalancer(WeightBalancer):
    """A method that finds its weights in the task gradients, usually in their Gram matrix alone.

    Args:
        measure_at: Where the gradients are looked at: at all shared parameters, at the features, or at the last shared
            layer. The weights always apply to all shared parameters.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, or the plain one.
    """

    def __init__(
        self, *, measure_at: MeasureAt = "shared", scale_heads: bool = False, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        require(measure_at in _PLACES, "measure_at", measure_at, f"be one of {', '.join(_PLACES)}")
        self.measure_at, self.scale_heads = measure_at, scale_heads

    def source(self, tasks: Sequence[str]) -> Place:
        """The chosen place."""
        return _PLACES[self.measure_at]

    def head_weights(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        """As the losses are weighted, or ones with `scale_heads=False`."""
        return None if self.scale_heads else torch.ones_like(weights)


class DirectionBalancer(Balancer):
    """A method whose update is no weighted sum of task gradients, but made of their single entries.

    Args:
        measure_at: Whose gradient the direction replaces: that of all shared parameters, or that of the features, from
            where it goes on through the trunk.
    """

    def __init__(self, *, measure_at: Literal["features", "shared"] = "shared", **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(measure_at in ("features", "shared"), "measure_at", measure_at, "be one of features, shared")
        self.measure_at = measure_at

    def source(self, tasks: Sequence[str]) -> Place:
        """The chosen place."""
        return _PLACES[self.measure_at]

    @abstractmethod
    def direct(self, inputs: StepInputs) -> Tensor:
        """The direction, [P], in the order and length of a row of `inputs.rows`."""

    def head_weights(self, inputs: StepInputs) -> Tensor | None:
        """The weights, [T], for the tasks' own parameters; none for ones."""
        return None

    def decide(self, inputs: StepInputs) -> Update:
        """The direction, and the weights of the heads."""
        return Update(direction=self.direct(inputs), head_weights=self.head_weights(inputs))

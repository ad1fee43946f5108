"""Uniform weights: the plain sum of the losses."""

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["Uniform"]


@register
class Uniform(WeightBalancer):
    """The plain sum of the losses: every weight is 1.

    Papers and libraries also call the mean (weights 1 / T) uniform. Use `Fixed` for it. With Adam the two differ only
    through epsilon, weight decay and clipping.

    Example:
        >>> import torch, equipoise
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> _ = equipoise.Uniform().backward({"a": x.sum(), "b": (x * x).sum()})
        >>> x.grad
        tensor([3., 5.])
    """

    info = MethodInfo(
        name="uniform",
        title="Uniform weights",
        paper="the plain sum of losses",
        default_place=Place.LOSSES,
        scale="sum: T identical tasks give T times the gradient of one",
    )

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Return ones."""
        return torch.ones_like(inputs.losses)

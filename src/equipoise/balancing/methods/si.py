"""SI: the sum of the logarithms of the losses."""

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["SI", "si"]


@torch.no_grad()
def si(losses: Tensor) -> Tensor:
    r"""Weights of the scale-invariant baseline (Navon et al., ICML 2022), sum convention.

    The loss is $\sum_i \log L_i$, so that $w_i = 1 / L_i$ and scaling a loss changes nothing. One code takes the mean,
    `w / T`. Losses must be positive. A loss below the smallest normal number counts as that number.

    Args:
        losses: Positive losses, shape `[T]`.

    Returns:
        Weights, shape `[T]`.

    Example:
        >>> import torch
        >>> si(torch.tensor([0.5, 4.0]))
        tensor([2.0000, 0.2500])
    """
    return losses.clamp(min=torch.finfo(losses.dtype).tiny).reciprocal()


@register
class SI(WeightBalancer):
    """Weights w_i = 1 / L_i: the loss is sum_i log L_i, and scaling a loss changes nothing.

    This is a baseline of the Nash-MTL paper. nash-mtl takes the sum, the code of Gama & Grassi (2025) the mean, and
    SamsungLabs log(1 + L). A task whose loss is zero has the weight 0.

    Raises:
        ValueError: On `backward`, a loss is negative.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.SI().backward({"a": x.sum(), "b": 100 * x.sum()}).weights
        {'a': tensor(0.5000), 'b': tensor(0.0050)}
    """

    info = MethodInfo(
        name="si",
        title="Scale-invariant loss",
        paper='baseline of Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022',
        default_place=Place.LOSSES,
        scale="sum of logarithms: every weighted loss is 1",
    )

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the reciprocals of the losses."""
        positive = inputs.positive_losses("si")
        return torch.where(positive, si(inputs.losses), torch.zeros_like(inputs.losses))

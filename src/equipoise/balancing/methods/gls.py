"""GLS: the geometric mean of the losses."""

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["GLS", "gls"]


@torch.no_grad()
def gls(losses: Tensor) -> Tensor:
    r"""Weights of GLS (Chennupati et al., MultiNet++, CVPRW 2019).

    $$
    L = \Big(\prod_i L_i\Big)^{1/T} = \exp\Big(\tfrac1T \sum_i \log L_i\Big),\qquad
    w_i = \frac{\partial L}{\partial L_i} = \frac{L}{T L_i}
    $$

    The mean is computed from logarithms, since the product leaves the range of float32 for forty losses of 0.001.
    Losses must be positive. A loss below the smallest normal number counts as that number.

    Args:
        losses: Positive losses, shape `[T]`.

    Returns:
        Weights, shape `[T]`. All `w_i * L_i` are equal and sum to the geometric mean.

    Example:
        >>> import torch
        >>> gls(torch.tensor([1.0, 4.0]))
        tensor([1.0000, 0.2500])
    """
    positive = losses.clamp(min=torch.finfo(losses.dtype).tiny)
    return positive.log().mean().exp() / (len(losses) * positive)


@register
class GLS(WeightBalancer):
    """Weights w_i = L / (T L_i), with L the geometric mean of the losses. The method minimises L.

    Scaling a loss changes the length of the update, not its direction, which is that of SI. LibMTL multiplies the
    losses, which leaves the range of float32 for many tasks. Here their logarithms are added. A task whose loss is zero
    has the weight 0 and does not count.

    Raises:
        ValueError: On `backward`, a loss is negative.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.GLS().backward({"a": 0.5 * x.sum(), "b": 2 * x.sum()}).weights
        {'a': tensor(1.), 'b': tensor(0.2500)}
    """

    info = MethodInfo(
        name="gls",
        title="Geometric loss strategy",
        paper='Chennupati et al., "MultiNet++", CVPRW 2019',
        default_place=Place.LOSSES,
        scale="mean: T identical tasks give the gradient of one",
    )

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the derivatives of the geometric mean."""
        positive = inputs.positive_losses("gls")
        weights = torch.zeros_like(inputs.losses)
        weights[positive] = gls(inputs.losses[positive])
        return weights

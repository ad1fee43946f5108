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

    .. math:: L = \Big(\prod_i L_i\Big)^{1/T} = \exp\Big(\tfrac1T \sum_i \log L_i\Big),\qquad
        w_i = \frac{\partial L}{\partial L_i} = \frac{L}{T L_i}

    Computed by logarithms: the product itself leaves the range of float32 for forty losses of 0.001. Losses have to be
    positive; a loss below the smallest normal number counts as that.

    Args:
        losses: Positive losses, shape ``[T]``.

    Returns:
        Weights, shape ``[T]``; all ``w_i * L_i`` are equal and sum to the geometric mean.

    Example:
        >>> import torch
        >>> gls(torch.tensor([1.0, 4.0]))
        tensor([1.0000, 0.2500])
    """
    positive = losses.clamp(min=torch.finfo(losses.dtype).tiny)
    return positive.log().mean().exp() / (len(losses) * positive)


@register
class GLS(WeightBalancer):
    """Weights w_i = L / (T L_i) with L the geometric mean of the losses, which is what is minimised.

    Scaling a loss changes the length of the update and not its direction, which is that of SI. LibMTL multiplies the
    losses first, which leaves the range of float32 for many tasks; here they are added as logarithms. A task whose loss
    is zero has the weight 0 and does not count.

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
        """The derivatives of the geometric mean."""
        positive = inputs.positive_losses("gls")
        weights = torch.zeros_like(inputs.losses)
        weights[positive] = gls(inputs.losses[positive])
        return weights

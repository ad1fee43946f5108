"""GLS: the geometric mean of the losses."""

import torch
from torch import Tensor


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

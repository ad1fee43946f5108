"""SI: the sum of the logarithms of the losses."""

import torch
from torch import Tensor


@torch.no_grad()
def si(losses: Tensor) -> Tensor:
    r"""Weights of the scale-invariant baseline (Navon et al., ICML 2022), sum convention.

    The loss is :math:`\sum_i \log L_i`, so that :math:`w_i = 1 / L_i` and scaling a loss changes nothing. One code
    takes the mean, ``w / T``. Losses have to be positive; a loss below the smallest normal number counts as that.

    Args:
        losses: Positive losses, shape ``[T]``.

    Returns:
        Weights, shape ``[T]``.

    Example:
        >>> import torch
        >>> si(torch.tensor([0.5, 4.0]))
        tensor([2.0000, 0.2500])
    """
    return losses.clamp(min=torch.finfo(losses.dtype).tiny).reciprocal()

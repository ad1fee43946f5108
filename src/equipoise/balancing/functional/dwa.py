"""DWA: more weight to the tasks whose loss falls slowest."""

import torch
from torch import Tensor


@torch.no_grad()
def dwa(previous: Tensor, before: Tensor, temperature: float = 2.0) -> Tensor:
    r"""Weights of DWA (Liu et al., MTAN, CVPR 2019), sum convention.

    .. math:: w = T\, \mathrm{softmax}(r / \tau),\qquad r_i = \bar L_i(e - 1) / \bar L_i(e - 2)

    with losses averaged over an epoch. In the first two epochs, without these averages, the weights are 1. Variants
    that compare windows of iterations are different methods. A task whose earlier average is zero counts as unchanged.

    Args:
        previous: Average losses of the previous epoch, shape ``[T]``.
        before: Average losses of the epoch before that, shape ``[T]``.
        temperature: :math:`\tau`, positive; large values make the weights equal.

    Returns:
        Weights that sum to ``T``, shape ``[T]``.

    Raises:
        ValueError: If ``temperature`` is not positive.

    Example:
        >>> import torch
        >>> dwa(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0]))
        tensor([1., 1.])
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` should be positive. Found `temperature = {temperature}`.")
    ratios = torch.where(before != 0, previous / before, torch.ones_like(previous))
    return len(ratios) * (ratios / temperature).softmax(0)

"""IMTL-L: learnt scales that bring every loss to 1."""

import torch
from torch import Tensor


@torch.no_grad()
def imtl_l(losses: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    r"""Weights of IMTL-L (Liu et al., ICLR 2021), and the gradient of its objective for the learnt scales.

    .. math:: O = \sum_i e^{s_i} L_i - s_i,\qquad w_i = e^{s_i},\qquad \frac{\partial O}{\partial s_i} = e^{s_i} L_i - 1

    Losses have to be positive: :math:`s_i` tends to :math:`-\log L_i`. Do not decay ``s``, and bound it: for a loss of
    zero it grows without end.

    Args:
        losses: Losses, shape ``[T]``.
        log_scales: ``s``, shape ``[T]``.

    Returns:
        The weights and the gradient for ``log_scales``, each of shape ``[T]``.

    Example:
        >>> import torch
        >>> imtl_l(torch.tensor([1.0, 4.0]), torch.zeros(2))
        (tensor([1., 1.]), tensor([0., 3.]))
    """
    weights = log_scales.exp()
    return weights, weights * losses - 1

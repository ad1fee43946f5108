"""UW: weights from learnt uncertainties of the tasks."""

import torch
from torch import Tensor


@torch.no_grad()
def uw(losses: Tensor, log_variances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Weights of UW (Kendall et al., CVPR 2018), and the gradient of its objective for the learnt variances.

    .. math:: O = \sum_i \tfrac12 e^{-s_i} L_i + \tfrac12 s_i,\quad w_i = \tfrac12 e^{-s_i},
        \quad \frac{\partial O}{\partial s_i} = \tfrac12 \big(1 - e^{-s_i} L_i\big)

    This is the regression form for every task, as in most codes; others weight classification losses twice as much. The
    stationary point is :math:`e^{s_i} = L_i`: losses have to be positive. Do not decay ``s``.

    Args:
        losses: Losses, shape ``[T]``.
        log_variances: ``s``, shape ``[T]``.

    Returns:
        The weights and the gradient for ``log_variances``, each of shape ``[T]``.

    Example:
        >>> import torch
        >>> uw(torch.tensor([1.0, 4.0]), torch.zeros(2))
        (tensor([0.5000, 0.5000]), tensor([ 0.0000, -1.5000]))
    """
    weights = 0.5 * (-log_variances).exp()
    return weights, 0.5 - weights * losses

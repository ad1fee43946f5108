"""FAMO: equal relative decrease of all losses, learnt from the losses before and after each step."""

import torch
from torch import Tensor

_MARGIN = 1e-8


@torch.no_grad()
def famo_weights(losses: Tensor, logits: Tensor, minima: Tensor | float = 0.0) -> Tensor:
    r"""Weights of FAMO (Liu et al., NeurIPS 2023).

    .. math:: w_i = \frac{z_i / D_i}{\sum_j z_j / D_j},\qquad z = \mathrm{softmax}(\xi),\qquad D_i = L_i - b_i + 10^{-8}

    Args:
        losses: Losses, at least ``minima``, shape ``[T]``.
        logits: :math:`\xi`, shape ``[T]``; zeros at the start.
        minima: Lower bounds ``b`` of the losses, shape ``[T]`` or one number.

    Returns:
        Positive weights that sum to 1, shape ``[T]``.

    Example:
        >>> import torch
        >>> famo_weights(torch.tensor([1.0, 3.0]), torch.zeros(2))
        tensor([0.7500, 0.2500])
    """
    scaled = logits.softmax(0) / (losses - minima + _MARGIN)
    return scaled / scaled.sum()


@torch.no_grad()
def famo_gradient(before: Tensor, after: Tensor, logits: Tensor, minima: Tensor | float = 0.0) -> Tensor:
    r"""Gradient for the logits of FAMO: less for the tasks that improved most.

    .. math:: \nabla_\xi = z \odot (\delta - z^T \delta),\ \delta_i = \log D_i(\text{before}) - \log D_i(\text{after})

    It is meant for Adam with coupled L2 decay (the paper's gamma), learning rate 0.025.

    Args:
        before: Losses of a batch before the model's step, shape ``[T]``.
        after: Losses of the same batch after it, shape ``[T]``.
        logits: :math:`\xi` that the step used, shape ``[T]``.
        minima: Lower bounds ``b`` of the losses, shape ``[T]`` or one number.

    Returns:
        The gradient, shape ``[T]``; zero if all losses fell by the same ratio.

    Example:
        >>> import torch
        >>> famo_gradient(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 1.5]), torch.zeros(2)).abs() < 1e-6
        tensor([True, True])
    """
    shares = logits.softmax(0)
    decrease = (before - minima + _MARGIN).log() - (after - minima + _MARGIN).log()
    return shares * (decrease - torch.dot(shares, decrease))

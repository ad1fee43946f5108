"""GradNorm: gradient norms driven towards targets that favour slow tasks."""

from typing import NamedTuple

import torch
from torch import Tensor


class GradNormForces(NamedTuple):
    """What GradNorm derives from one step.

    Attributes:
        targets: The norms that the weighted gradients should have, shape ``[T]``.
        gradient: The gradient of GradNorm's own loss for the weights, shape ``[T]``.
    """

    targets: Tensor
    gradient: Tensor


@torch.no_grad()
def gradnorm(
    losses: Tensor, initial_losses: Tensor, norms: Tensor, weights: Tensor, alpha: float = 1.5
) -> GradNormForces:
    r"""Targets of GradNorm (Chen et al., ICML 2018, algorithm 1) and the gradient for its weights.

    .. math:: G_i = |w_i| n_i,\quad r_i = \frac{L_i / L_i(0)}{\tfrac1T \sum_j L_j / L_j(0)},\quad
        \hat G_i = r_i^\alpha\, \tfrac1T \sum_j G_j,\qquad
        \frac{\partial}{\partial w_i} \sum_k |G_k - \hat G_k| = \mathrm{sign}(w_i) \, \mathrm{sign}(G_i - \hat G_i)\,
        n_i

    The targets count as constants. The model's step uses the weights before their own step; afterwards see
    :func:`gradnorm_renormalized`. A task without an initial loss counts as training at the average rate.

    Args:
        losses: Losses of this step, positive, shape ``[T]``.
        initial_losses: Losses of the first step, shape ``[T]``.
        norms: Norms of the unweighted task gradients at the last shared layer, shape ``[T]``.
        weights: Weights of this step, shape ``[T]``.
        alpha: Strength of the pull towards equal training rates.

    Returns:
        The targets and the gradient.

    Example:
        >>> import torch
        >>> ones = torch.ones(2)
        >>> gradnorm(losses=ones, initial_losses=ones, norms=torch.tensor([1.0, 3.0]), weights=ones)
        GradNormForces(targets=tensor([2., 2.]), gradient=tensor([-1.,  3.]))
    """
    known = initial_losses > 0
    rates = torch.where(known, losses / initial_losses, torch.zeros_like(losses))
    average = rates.sum() / known.sum().clamp(min=1)
    relative = torch.where(known & (average > 0), rates / average, torch.ones_like(rates))
    scaled = weights.abs() * norms
    targets = relative**alpha * scaled.mean()
    return GradNormForces(targets, weights.sign() * (scaled - targets).sign() * norms)


@torch.no_grad()
def gradnorm_renormalized(weights: Tensor, floor: float = 1e-3) -> Tensor:
    """The weights after their own step, made to sum to the number of tasks.

    Plain steps can make a weight negative, which no source guards against; weights are clamped first.

    Args:
        weights: Weights after the step, shape ``[T]``.
        floor: The least weight before normalisation, positive.

    Returns:
        Positive weights that sum to ``T``, shape ``[T]``.

    Example:
        >>> import torch
        >>> gradnorm_renormalized(torch.tensor([1.0, 3.0]))
        tensor([0.5000, 1.5000])
    """
    positive = weights.clamp(min=floor)
    return len(weights) * positive / positive.sum()

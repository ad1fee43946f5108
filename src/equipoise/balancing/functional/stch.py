"""STCH: a smooth maximum of the losses."""

import torch
from torch import Tensor


@torch.no_grad()
def stch(losses: Tensor, mu: float = 1.0, *, preference: Tensor | None = None, ideal: Tensor | None = None) -> Tensor:
    r"""Weights of smooth Tchebycheff scalarisation (Lin et al., ICML 2024, equation of the plain method).

    .. math:: S = \mu \log \sum_i \exp\big(\lambda_i (L_i - z_i) / \mu\big),\qquad
        w_i = \lambda_i\, \mathrm{softmax}_i\big(\lambda (L - z) / \mu\big)

    The paper's multi-task experiments use another recipe: :func:`stch_of_logarithms`.

    Args:
        losses: Losses, shape ``[T]``.
        mu: Smoothness, positive; towards 0 the largest entry takes all the weight.
        preference: :math:`\lambda`, shape ``[T]``; ``1 / T`` by default.
        ideal: :math:`z`, the lowest attainable losses, shape ``[T]``; 0 by default.

    Returns:
        Weights, shape ``[T]``.

    Raises:
        ValueError: If ``mu`` is not positive.

    Example:
        >>> import torch
        >>> stch(torch.tensor([1.0, 1.0]))
        tensor([0.2500, 0.2500])
    """
    _check(mu)
    scale = torch.full_like(losses, 1 / len(losses)) if preference is None else preference
    excess = losses if ideal is None else losses - ideal
    return scale * (scale * excess / mu).softmax(0)


@torch.no_grad()
def stch_of_logarithms(losses: Tensor, nadir: Tensor, mu: float = 1.0) -> Tensor:
    r"""Weights of STCH as its authors train networks with it: on logarithms, relative to the end of a warm-up.

    .. math:: S = T \mu \log \sum_i \exp(f_i / \mu),\quad f_i = \log(L_i / \bar L_i),\qquad
        w_i = \frac{T}{L_i}\, \mathrm{softmax}_i(f / \mu)

    During the warm-up (four epochs in the authors' code) the loss is the sum of the logarithms, whose weights are those
    of :func:`~equipoise.balancing.functional.si`. Scaling a loss with its nadir changes nothing.

    Args:
        losses: Positive losses, shape ``[T]``.
        nadir: :math:`\bar L`, the average losses of the last warm-up epoch, positive, shape ``[T]``.
        mu: Smoothness, positive.

    Returns:
        Weights, shape ``[T]``.

    Raises:
        ValueError: If ``mu`` is not positive.

    Example:
        >>> import torch
        >>> stch_of_logarithms(torch.tensor([1.0, 4.0]), nadir=torch.tensor([1.0, 4.0]))
        tensor([1.0000, 0.2500])
    """
    _check(mu)
    tiny = torch.finfo(losses.dtype).tiny
    positive = losses.clamp(min=tiny)
    ratios = positive.log() - nadir.clamp(min=tiny).log()
    return len(losses) * (ratios / mu).softmax(0) / positive


def _check(mu: float) -> None:
    if not mu > 0:
        raise ValueError(f"`mu` should be positive. Found `mu = {mu}`.")

"""FairGrad: alpha-fair improvements of the tasks."""

import math

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers import bargaining_weights, read_gram


@torch.no_grad()
def fairgrad(gram: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Weights of FairGrad (Ban and Ji, ICML 2024), neither multiplied by the number of tasks nor clipped.

    .. math:: G w = w^{-1/\alpha},\quad w > 0

    ``alpha = 1`` is Nash-MTL; ``alpha -> 0`` tends to the plain sum, ``alpha -> infinity`` to equal improvements. The
    solution is unique. It exists unless some convex combination of the gradients vanishes: not for a zero gradient,
    opposite gradients or a Pareto-stationary point, where author codes return an arbitrary point. If all gradients are
    zero, so are the weights. Scaling all gradients by ``c`` scales the weights by ``c ** (-2 * alpha / (1 + alpha))``.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.
        alpha: Fairness, positive. The authors' code has 1, their scripts have 2.

    Returns:
        Weights, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix or ``alpha`` is not positive.
        SolverError: If no solution exists to the precision of ``gram``.

    Example:
        >>> import torch
        >>> fairgrad(torch.tensor([[8.0, 0.0], [0.0, 1.0]]), alpha=0.5)
        tensor([0.5000, 1.0000])
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"`alpha` should be positive and finite. Found `alpha = {alpha}`.")
    host = read_gram(gram)
    squared_norms = host.diagonal()
    if squared_norms.min().item() <= 0:
        if squared_norms.max().item() <= 0:
            return torch.zeros_like(squared_norms).to(gram)
        zero = (squared_norms <= 0).nonzero().flatten().tolist()
        raise SolverError(
            f"No weights exist: the tasks at positions {zero} have zero gradients and cannot improve. Leave them out.",
            1.0,
        )
    return bargaining_weights(host, float(alpha), torch.finfo(gram.dtype).eps).to(gram)

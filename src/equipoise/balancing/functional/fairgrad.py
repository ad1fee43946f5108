"""FairGrad: alpha-fair improvements of the tasks."""

import math

from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers import bargaining_weights, read_gram, to_tensor


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
        SolverError: If no solution exists to the precision of ``gram``, or it is not reached to a relative residual of
            1e-8; to 1e-6 where gradients are so nearly opposite that 16 digits do not allow more.

    Example:
        >>> import torch
        >>> fairgrad(torch.tensor([[8.0, 0.0], [0.0, 1.0]]), alpha=0.5)
        tensor([0.5000, 1.0000])
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"`alpha` should be positive and finite. Found `alpha = {alpha}`.")
    host = read_gram(gram)
    squared_norms = host.squared_norms()
    if min(squared_norms) == 0:
        if max(squared_norms) == 0:
            return gram.new_zeros(len(squared_norms))
        zero = [task for task, squared_norm in enumerate(squared_norms) if squared_norm == 0]
        raise SolverError(
            f"No weights exist: the tasks at positions {zero} have zero gradients and cannot improve. Leave them out.",
            1.0,
        )
    return to_tensor(bargaining_weights(host, float(alpha))).to(gram)

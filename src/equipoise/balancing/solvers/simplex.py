"""The convex combination of least norm, and the projection onto the simplex."""

import torch
from torch import Tensor

from equipoise.balancing.solvers.nonnegative import nonnegative_multipliers


def minimum_norm_weights(gram: Tensor, precision: float) -> Tensor:
    r"""Minimise :math:`w^T G w` over the simplex :math:`w \ge 0, \sum_i w_i = 1`, exactly.

    The problem is :math:`\min_{x \ge 0} \tfrac12 x^T (G + \mu 1 1^T) x - \mu 1^T x` with :math:`w = x / \sum_i x_i`,
    for any :math:`\mu > 0`; it has a solution even if the least norm is zero. Take :math:`\mu = \min_i G_{ii}`, which
    is at least the least squared norm, and give the matrix a unit diagonal.

    Args:
        gram: Checked float64 Gram matrix, shape ``[T, T]``.
        precision: Relative precision of its entries.

    Returns:
        ``w``, shape ``[T]``. If several combinations have the least norm, one of them. A zero gradient takes all the
        weight.

    Raises:
        SolverError: If the optimality condition was not reached.
    """
    # More often than not every task takes part, and then one factorisation is the answer.
    triangle, failed = torch.linalg.cholesky_ex(gram)
    ones = torch.ones_like(gram[:, :1])
    weights = torch.cholesky_solve(ones, triangle)
    if not failed.item() and weights.min().item() >= 0 and (gram @ weights - 1).abs().max().item() <= 1e-12:
        return (weights / weights.sum())[:, 0]
    return _on_a_face(gram, (weights > 0)[:, 0], precision)


def _on_a_face(gram: Tensor, active: Tensor, precision: float) -> Tensor:
    squared_norms = gram.diagonal()
    least, index = squared_norms.min(0)
    if least.item() == 0:
        return torch.zeros_like(squared_norms).index_fill_(0, index, 1.0)
    scales = (squared_norms / least + 1).rsqrt()
    matrix = (gram / least + 1) * scales * scales[:, None]
    weights = nonnegative_multipliers(matrix, -scales[None], active[None], precision)[0] * scales
    return weights / weights.sum()


def project_to_simplex(point: Tensor) -> Tensor:
    r"""Euclidean projection onto the simplex :math:`w \ge 0, \sum_i w_i = 1`.

    Example:
        >>> import torch
        >>> project_to_simplex(torch.tensor([0.5, 0.7, -1.0]))
        tensor([0.4000, 0.6000, 0.0000])
    """
    descending = point.sort(descending=True).values
    counts = torch.arange(1, len(point) + 1, dtype=point.dtype, device=point.device)
    thresholds = (descending.cumsum(0) - 1) / counts
    # The largest prefix that stays positive; every prefix up to it does, so that the largest threshold is the last of
    # them.
    return (point - thresholds.max()).clamp(min=0)

"""The convex combination of least norm, and the projection onto the simplex."""

from operator import mul

import torch
from torch import Tensor

from equipoise.balancing.solvers.gram import Gram, Vector
from equipoise.balancing.solvers.nonnegative import nonnegative_multipliers
from equipoise.balancing.solvers.triangular import factorized, product

_EXACT = 1e-12


def minimum_norm_weights(gram: Gram) -> Vector:
    r"""Minimise :math:`w^T G w` over the simplex :math:`w \ge 0, \sum_i w_i = 1`, exactly.

    The problem is :math:`\min_{x \ge 0} \tfrac12 x^T (G + \mu 1 1^T) x - \mu 1^T x` with :math:`w = x / \sum_i x_i`,
    for any :math:`\mu > 0`; it has a solution even if the least norm is zero. Take :math:`\mu = \min_i G_{ii}`, which
    is at least the least squared norm, and give the matrix a unit diagonal.

    Args:
        gram: Gram matrix.

    Returns:
        ``w``, of length T. If several combinations have the least norm, one of them. A zero gradient takes all the
        weight.

    Raises:
        SolverError: If the optimality condition was not reached.
    """
    # More often than not every task takes part, and then one factorisation is the answer.
    triangle = factorized(gram.matrix)
    weights = [0.0] * len(gram.rows) if triangle is None else triangle.solve([1.0] * len(gram.rows))
    if triangle is not None and min(weights) >= 0:
        products = product(gram.rows, weights)
        if max(products) - 1 <= _EXACT and 1 - min(products) <= _EXACT:
            total = sum(weights)
            return [weight / total for weight in weights]
    return _on_a_face(gram, weights)


def _on_a_face(gram: Gram, guess: Vector) -> Vector:
    squared_norms = gram.matrix.diagonal()
    least, index = squared_norms.min(0)
    if least.item() == 0:
        return [float(task == index) for task in range(len(guess))]
    scales = (squared_norms / least + 1).rsqrt()
    matrix = (gram.matrix / least + 1) * scales * scales[:, None]
    active = torch.tensor([[weight > 0 for weight in guess]])
    multipliers = nonnegative_multipliers(matrix, -scales[None], active, gram.precision)[0].tolist()
    weights = list(map(mul, multipliers, scales.tolist()))
    total = sum(weights)
    return [weight / total for weight in weights]


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

"""EDM: equiangular direction, the least-norm combination of unit gradients, back in the hull of the raw ones."""

from operator import mul

import torch
from torch import Tensor

from equipoise.balancing.solvers import (
    Gram,
    Vector,
    factorized,
    minimum_norm_weights,
    nonnegative_multipliers,
    normalized,
    product,
    read_gram,
    stationarity_floor,
    to_tensor,
)

_RIDGE = 1e-9


def edm(gram: Tensor) -> Tensor:
    r"""Weights of EDM (Katrutsa et al. 2020), the central direction of CDTT.

    .. math:: \alpha = \arg\min_{\alpha \ge 0,\ \sum_i \alpha_i = 1} \lVert \textstyle\sum_i \alpha_i u_i \rVert,\quad
        w_i = \frac{\alpha_i / n_i}{\sum_j \alpha_j / n_j},\qquad u_i = g_i / n_i

    The direction conflicts with no task and depends on angles only; the weights are on the simplex. Where all
    :math:`\alpha_i > 0` it is IMTL-G. If active gradients are dependent (parallel tasks) the length of the direction is
    not unique: the :math:`\alpha` of least Euclidean norm is taken, so that ``g`` and ``3 g`` give ``1.5 g``. A zero
    gradient takes all the weight, the limit of a vanishing one: no update. Both public codes iterate and are wrong by
    up to 10 percent.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.

    Returns:
        Weights on the simplex, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> edm(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.3333, 0.6667])
    """
    norms, cosines = normalized(read_gram(gram))
    least = min(norms)
    if least == 0:
        return to_tensor([float(task == norms.index(0.0)) for task in range(len(norms))]).to(gram)
    combination = _of_least_length(cosines)
    weights = [share * (least / norm) for share, norm in zip(combination, norms, strict=True)]
    total = sum(weights)
    return to_tensor([weight / total for weight in weights]).to(gram)


def _of_least_length(cosines: Gram) -> Vector:
    """Of the combinations of unit gradients of least norm, the one with the shortest coefficients."""
    combination = minimum_norm_weights(cosines)
    floor = stationarity_floor(len(combination), cosines.precision)
    triangle = factorized(cosines.matrix)
    if triangle is not None and triangle.least_pivot() > floor:
        return combination
    slopes = product(cosines.rows, combination)
    level = sum(map(mul, combination, slopes)) + max(1e-12, len(slopes) * cosines.precision)
    tied = [task for task, slope in enumerate(slopes) if slope <= level]
    matrix = (cosines.matrix + 1)[tied][:, tied]
    triangle = factorized(matrix)
    if triangle is not None and triangle.least_pivot() > floor:
        return combination
    # All of `tied` can share the weight. A ridge selects the shortest combination; the vector itself stays attainable.
    goal = matrix @ to_tensor([combination[task] for task in tied])
    ridged = matrix.clone()
    ridged.diagonal().add_(max(_RIDGE, 2 * floor))
    scale = ridged[0, 0]
    shared = nonnegative_multipliers(
        ridged / scale, (-goal / scale)[None], torch.ones_like(goal, dtype=torch.bool)[None], cosines.precision
    )[0].tolist()
    result = [0.0] * len(combination)
    for task, share in zip(tied, shared, strict=True):
        result[task] = share / sum(shared)
    return result

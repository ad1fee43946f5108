"""EDM: equiangular direction, the least-norm combination of unit gradients, back in the hull of the raw ones."""

import torch
from torch import Tensor

from equipoise.balancing.solvers import (
    minimum_norm_weights,
    nonnegative_multipliers,
    normalized,
    read_gram,
    stationarity_floor,
)

_RIDGE = 1e-9


@torch.no_grad()
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
    least, index = norms.min(0)
    if least.item() == 0:
        return torch.zeros_like(gram[0]).index_fill_(0, index.to(gram.device), 1.0)
    combination = _of_least_length(cosines, torch.finfo(gram.dtype).eps)
    weights = combination * (least / norms)
    return (weights / weights.sum()).to(gram)


def _of_least_length(cosines: Tensor, precision: float) -> Tensor:
    """Of the combinations of unit gradients of least norm, the one with the shortest coefficients."""
    combination = minimum_norm_weights(cosines, precision)
    slopes = cosines @ combination
    tied = slopes <= torch.dot(combination, slopes) + max(1e-12, len(slopes) * precision)
    matrix = (cosines + 1)[tied][:, tied]
    triangle, failed = torch.linalg.cholesky_ex(matrix)
    if not failed.item() and triangle.diagonal().min().item() ** 2 > stationarity_floor(len(cosines), precision):
        return combination
    # All of `tied` can share the weight. A ridge selects the shortest combination; the vector itself stays attainable.
    goal = matrix @ combination[tied]
    ridged = matrix.clone()
    ridged.diagonal().add_(max(_RIDGE, 8 * len(cosines) * precision))
    scale = ridged[0, 0]
    shared = nonnegative_multipliers(
        ridged / scale, (-goal / scale)[None], torch.ones_like(tied[tied])[None], precision
    )[0]
    result = torch.zeros_like(combination)
    result[tied] = shared / shared.sum()
    return result

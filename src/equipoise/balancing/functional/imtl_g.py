"""IMTL-G: an affine combination with the same projection onto every gradient."""

import math
from operator import mul

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers import Gram, Vector, factorized, normalized, read_gram, to_tensor


def imtl_g(gram: Tensor) -> Tensor:
    r"""Weights of IMTL-G (Liu et al., ICLR 2021): ``<d, u_i>`` is the same for all tasks and the weights sum to 1.

    .. math:: w = \frac{v}{\sum_i v_i},\qquad v = G^+ n

    The pseudo-inverse extends the authors' closed form to dependent gradients, where projections can differ; a zero
    gradient has weight 0. Weights can be negative. For three tasks and more, :math:`\sum_i v_i` can be negative as
    well: then all projections are negative and ``d`` is an ascent direction for every task. The paper and its codes do
    not guard against that, neither does this function; :func:`~equipoise.balancing.functional.edm` and
    :func:`~equipoise.balancing.functional.config` are safe. For ``g`` and ``-g``, where :math:`v = 0`, the weights are
    ``1 / n_i``, scaled to sum to 1: no update. If all gradients are zero, so are the weights.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.

    Returns:
        Weights that sum to 1, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix.
        SolverError: If :math:`\sum_i v_i` vanishes, so that no affine combination has equal projections.

    Example:
        >>> import torch
        >>> imtl_g(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.3333, 0.6667])
    """
    host = read_gram(gram)
    norms, cosines = normalized(host)
    longest = max(norms)
    if longest == 0:
        return gram.new_zeros(len(norms))
    cut = len(norms) * host.precision
    shortest = min(norm for norm in norms if norm > 0)
    inverse_norms = [shortest / norm if norm > 0 else 0.0 for norm in norms]
    triangle = factorized(cosines.matrix)
    if triangle is not None and triangle.least_pivot() > math.sqrt(host.precision):
        unscaled = list(map(mul, triangle.solve([1.0] * len(norms)), inverse_norms))
    else:
        unscaled = _near_dependence(host, cosines, norms, inverse_norms, cut)
    total = sum(unscaled)
    if not abs(total) > cut * sum(map(abs, unscaled)):
        raise SolverError(
            "No weights exist: the weights that give equal projections sum to zero and cannot be scaled to sum to 1.",
            residual=1.0,
        )
    return to_tensor([weight / total for weight in unscaled]).to(gram)


def _near_dependence(gram: Gram, cosines: Gram, norms: Vector, inverse_norms: Vector, cut: float) -> Vector:
    values, vectors = torch.linalg.eigh(cosines.matrix)
    if values[0].item() > cut * values[-1].item():
        return list(map(mul, (vectors @ (vectors.sum(0) / values)).tolist(), inverse_norms))
    longest = max(norms)
    unscaled = _pseudo_inverse_times(gram.matrix / longest**2, to_tensor([norm / longest for norm in norms]), cut)
    if max(cosines.matrix.sum().item(), unscaled.abs().max().item()) <= cut * len(norms):
        return inverse_norms
    return unscaled.tolist()


def _pseudo_inverse_times(matrix: Tensor, vector: Tensor, cut: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    inverse = values.reciprocal().where(values > cut * values[-1], torch.zeros_like(values))
    return vectors @ (inverse * (vectors.T @ vector))

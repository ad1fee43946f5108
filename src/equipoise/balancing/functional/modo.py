"""MoDo: a projected step on the weights with gradients of two independent batches."""

import torch
from torch import Tensor

from equipoise.balancing.functional.sdmgrad import read_cross_gram
from equipoise.balancing.solvers import project_to_simplex


@torch.no_grad()
def modo(cross_gram: Tensor, weights: Tensor, rate: float = 0.1, regularization: float = 0.1) -> Tensor:
    r"""New weights of MoDo (Chen, Fernando et al., NeurIPS 2023).

    .. math:: w \leftarrow P_S\big(w - \gamma\,(J_1 J_2^T w + \rho w)\big)

    with the Euclidean projection onto the simplex. The update is :math:`\tfrac12 (J_1 + J_2)^T w` with the new weights
    (the paper); the authors' code has twice that, LibMTL takes the gradients of a third batch. The rate is not free of
    units: gradients ``c`` times as long need a rate of :math:`\gamma / c^2`.

    Args:
        cross_gram: ``J_1 @ J_2.T``, gradients of two independent batches, not symmetric, shape ``[T, T]``.
        weights: Weights of the last call, shape ``[T]``; ``1 / T`` at the start.
        rate: :math:`\gamma`, non-negative; LibMTL has 0.001.
        regularization: :math:`\rho`, non-negative.

    Returns:
        Weights on the simplex, shape ``[T]``, like ``weights``: they are the state of the next call.

    Raises:
        ValueError: If ``cross_gram`` is not a finite square matrix.

    Example:
        >>> import torch
        >>> modo(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0.5, 0.5]))
        tensor([0.4250, 0.5750])
    """
    cross = read_cross_gram(cross_gram, "cross_gram")
    current = weights.detach().to(cross)
    step = cross @ current + regularization * current
    return project_to_simplex(current - rate * step).to(weights)

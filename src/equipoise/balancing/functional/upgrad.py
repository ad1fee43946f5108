"""UPGrad: the mean of the gradients, each projected so that it conflicts with no task."""

import torch
from torch import Tensor

from equipoise.balancing.solvers import nonnegative_multipliers, normalized, read_gram, to_tensor


def upgrad(gram: Tensor) -> Tensor:
    r"""Weights of UPGrad (Quinton and Rey 2024), mean convention.

    .. math:: d = \frac1T \sum_i \pi(g_i),\quad \pi(x) = \arg\min_{y:\ J y \ge 0} \lVert y - x \rVert

    ``d`` conflicts with no task, ``J @ d >= 0``, and is the mean gradient if no two gradients conflict. Zero gradients
    and Pareto-stationary points need no exception. For dependent gradients the direction is unique and the weights are
    not. The projections are exact; TorchJD's regularisation moves the answer by up to 30 percent where norms differ by
    1000 and its threshold returns the conflicting mean for small gradients.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.

    Returns:
        Weights, non-negative, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> upgrad(torch.tensor([[1.0, -1.0], [-1.0, 4.0]]))
        tensor([1.0000, 0.6250])
    """
    lengths, angles = normalized(read_gram(gram))
    norms, cosines = to_tensor(lengths), angles.matrix
    # The cone does not depend on the norms: project unit gradients, with a unit diagonal for zero ones as well.
    cosines.diagonal().fill_(1.0)
    multipliers = nonnegative_multipliers(cosines, cosines, cosines < 0, angles.precision)
    # A zero gradient is in nobody's projection: its multipliers are zero.
    return ((1 + (norms @ multipliers) / norms.clamp(min=torch.finfo(norms.dtype).tiny)) / len(norms)).to(gram)

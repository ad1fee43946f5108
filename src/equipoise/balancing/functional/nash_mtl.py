"""Nash-MTL: the Nash bargaining solution between the tasks."""

from torch import Tensor

from equipoise.balancing.functional.fairgrad import fairgrad


def nash_mtl(gram: Tensor) -> Tensor:
    r"""Weights of Nash-MTL (Navon et al., ICML 2022), without the clipping of the update.

    .. math:: w_i\,(G w)_i = 1,\quad w > 0

    The solution is unique and gives a direction of norm :math:`\sqrt T` with ``<g_i, d> = 1 / w_i > 0``. It exists
    unless some convex combination of the gradients vanishes: not for a zero gradient, opposite gradients or a
    Pareto-stationary point. Author codes return the previous or the initial weights then, and also at several regular
    points; here :class:`~equipoise.balancing.errors.SolverError` is raised. If all gradients are zero, the weights are
    zero.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.

    Returns:
        Weights, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix.
        SolverError: If no solution exists to the precision of ``gram``, or it is not reached to a relative residual of
            1e-8; to 1e-6 where gradients are so nearly opposite that 16 digits do not allow more.

    Example:
        >>> import torch
        >>> nash_mtl(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """
    return fairgrad(gram, alpha=1.0)

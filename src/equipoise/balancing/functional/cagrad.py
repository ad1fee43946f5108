"""CAGrad: the best worst-case improvement near the mean gradient."""

import math

import torch
from torch import Tensor

from equipoise.balancing.solvers import (
    ball_multipliers,
    nonnegative_multipliers,
    normalized,
    read_gram,
    stationarity_floor,
)


@torch.no_grad()
def cagrad(gram: Tensor, c: float = 0.4) -> Tensor:
    r"""Weights of CAGrad (Liu et al., NeurIPS 2021, algorithm 1), mean convention, not rescaled.

    .. math:: \max_d \min_i \langle g_i, d \rangle \ \text{ s.t. }\  \lVert d - g_0 \rVert \le c \lVert g_0 \rVert,
        \quad g_0 = \tfrac1T \sum_i g_i

    The authors' training code divides by ``1 + c ** 2`` and multiplies by the number of tasks. The optimum is unique
    unless the best worst-case improvement is zero (a zero gradient, or a Pareto-stationary point whose ball reaches the
    cone of non-conflicting directions); then the optimum nearest to the mean gradient is returned, its projection onto
    that cone. If the mean gradient is zero, the update is zero.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.
        c: Radius relative to the mean gradient, non-negative. Convergence is proven below 1. 0 gives the mean.

    Returns:
        Effective weights, ``d = J.T @ w``, non-negative, shape ``[T]``, dtype and device of ``gram``. Solved in
        float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix or ``c`` is negative.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> cagrad(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), c=0.4)
        tensor([0.7000, 0.7000])
    """
    if not 0 <= c < math.inf:
        raise ValueError(f"`c` should be non-negative and finite. Found `c = {c}`.")
    host = read_gram(gram)
    norms, cosines = normalized(host)
    tasks = len(norms)
    even = torch.full_like(norms, 1 / tasks)
    # In units of the longest gradient, so that no square leaves the range of float64.
    longest = norms.max()
    mean_norm = (torch.dot(norms / longest, cosines @ (norms / longest)).clamp(min=0).sqrt() * longest / tasks).item()
    precision = torch.finfo(gram.dtype).eps
    if c == 0 or not mean_norm > math.sqrt(stationarity_floor(tasks, precision)) * longest.item() / tasks:
        return even.to(gram)
    slopes = cosines @ (norms / mean_norm) / tasks
    multipliers = _multipliers(norms, cosines, slopes, float(c), precision)
    return (even + mean_norm * multipliers / norms.where(norms > 0, torch.ones_like(norms))).to(gram)


def _multipliers(norms: Tensor, cosines: Tensor, slopes: Tensor, c: float, precision: float) -> Tensor:
    """What CAGrad adds to the mean gradient of norm 1, as multiples of the unit gradients."""
    present = norms > 0
    if present.all().item():
        found = ball_multipliers(cosines, slopes, norms.min() / norms, c, precision)
        return found if found is not None else _projection(cosines, slopes, precision)
    # A zero gradient never improves, so that no improvement beyond zero counts.
    result = torch.zeros_like(norms)
    norms, cosines, slopes = norms[present], cosines[present][:, present], slopes[present]
    result[present] = _projection(cosines, slopes, precision)
    if (result[present] @ cosines @ result[present]).item() > c**2:
        found = ball_multipliers(cosines, slopes, norms.min() / norms, c, precision)
        if found is not None:
            result[present] = found
    return result


def _projection(cosines: Tensor, slopes: Tensor, precision: float) -> Tensor:
    """The step from the mean gradient to the nearest direction that conflicts with no task."""
    return nonnegative_multipliers(cosines, slopes[None], (slopes < 0)[None], precision)[0]

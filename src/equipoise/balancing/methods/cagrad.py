"""CAGrad: the best worst-case improvement near the mean gradient."""

import math
from typing import Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE_NON_NEGATIVE, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import (
    Gram,
    Vector,
    ball_multipliers,
    nonnegative_multipliers,
    normalized,
    read_gram,
    stationarity_floor,
    to_tensor,
)

__all__ = ["CAGrad", "cagrad"]


def cagrad(gram: Tensor, c: float = 0.4) -> Tensor:
    r"""Weights of CAGrad (Liu et al., NeurIPS 2021, algorithm 1), mean convention, not rescaled.

    $$
    \max_d \min_i \langle g_i, d \rangle \ \text{ s.t. }\  \lVert d - g_0 \rVert \le c \lVert g_0 \rVert,
    \quad g_0 = \tfrac1T \sum_i g_i
    $$

    The authors' training code divides by `1 + c ** 2` and multiplies by the number of tasks. The optimum is unique
    unless the best worst-case improvement is zero. This happens for a zero gradient, and at a Pareto-stationary point
    whose ball reaches the cone of non-conflicting directions. Then the optimum nearest to the mean gradient is
    returned: its projection onto that cone. If the mean gradient is zero, the update is zero.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        c: Radius relative to the mean gradient, non-negative. Convergence is proven below 1. 0 gives the mean.

    Returns:
        Effective weights, `d = J.T @ w`, non-negative, shape `[T]`, dtype and device of `gram`. Solved in
        float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix or `c` is negative.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> cagrad(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), c=0.4)
        tensor([0.7000, 0.7000])
    """
    if not 0 <= c < math.inf:
        raise ValueError(f"`c` should be non-negative and finite. Found `c = {c}`.")
    lengths, angles = normalized(read_gram(gram))
    tasks, longest = len(lengths), max(lengths)
    norms = to_tensor(lengths)
    even = torch.full_like(norms, 1 / tasks)
    if c == 0 or longest == 0:
        return even.to(gram)
    # In units of the longest gradient, so that no square leaves the range of float64.
    shares = norms / longest
    mean_slopes = angles.matrix @ shares
    mean_square = torch.dot(shares, mean_slopes).item()
    if not mean_square > stationarity_floor(tasks, angles.precision):
        return even.to(gram)
    mean_norm = math.sqrt(mean_square) * longest / tasks
    multipliers = _multipliers(lengths, angles, mean_slopes / math.sqrt(mean_square), float(c))
    return (even + mean_norm * multipliers / norms.where(norms > 0, torch.ones_like(norms))).to(gram)


def _multipliers(lengths: Vector, angles: Gram, slopes: Tensor, c: float) -> Tensor:
    """Return the addition of CAGrad to the mean gradient of norm 1, as multiples of the unit gradients."""
    present = [task for task, length in enumerate(lengths) if length > 0]
    shortest = min(lengths[task] for task in present)
    costs = to_tensor([shortest / lengths[task] for task in present])
    if len(present) == len(lengths):
        found = ball_multipliers(angles, slopes, costs, c)
        return found if found is not None else _projection(angles, slopes)
    # A zero gradient never improves, so the best worst case is zero.
    angles, slopes = angles.of(present), slopes[present]
    nearest = _projection(angles, slopes)
    if (nearest @ angles.matrix @ nearest).item() > c**2:
        found = ball_multipliers(angles, slopes, costs, c)
        nearest = nearest if found is None else found
    result = torch.zeros(len(lengths), dtype=torch.float64)
    result[present] = nearest
    return result


def _projection(angles: Gram, slopes: Tensor) -> Tensor:
    """Return the step from the mean gradient to the nearest direction that conflicts with no task."""
    return nonnegative_multipliers(angles.matrix, slopes[None], (slopes < 0)[None], angles.precision)[0]


@register
class CAGrad(GramBalancer):
    """The d with the largest min_i <g_i, d> within the distance c ||g_0|| of the mean gradient g_0.

    `rescale` divides the update: by 1 (`rescale=0`), by 1 + c^2 (1, the authors' code), or by 1 + c (2, with which
    identical tasks give the gradient of one). Algorithm 1 of the paper, TorchJD and SamsungLabs do not divide. The
    authors' training code multiplies by T (`reduction="sum"`), LibMTL does not.

    If the best worst case is no improvement, the optimum is not unique. This happens for a zero gradient, and at a
    Pareto-stationary point whose ball reaches far enough. The method then takes the optimum nearest to the mean
    gradient. TorchJD takes zero, and the authors' solver returns noise.

    Args:
        c: Radius relative to the mean gradient. Convergence is proven below 1. 0 gives the mean. Guo et al. (2025) have
            0.5 or 0.4, Gama & Grassi (2025) search 0.2, 0.5 and 0.8.
        rescale: 0, 1 or 2, see above.
        reduction: "mean", or "sum" for T times that.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.CAGrad(rescale=0).backward({"a": x[0], "b": x[1]}).weights
        {'a': tensor(0.7000), 'b': tensor(0.7000)}
    """

    info = MethodInfo(
        name="cagrad",
        title="Conflict-averse gradient descent",
        paper='Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021, algorithm 1',
        default_place=Place.SHARED,
        scale="mean, times (1 + c) / (1 + c^2)",
        heads="plain",
        state="count of unsolved steps",
    )
    mean_type = True

    c: float = hyper(default=0.4, rule=FINITE_NON_NEGATIVE, source="paper, NYUv2")
    rescale: Literal[0, 1, 2] = hyper(default=1, source="authors' code")
    reduction: Literal["mean", "sum"] = hyper(default="mean", source="paper")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="authors' code")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the optimum, and rescale it."""
        divisor = (1.0, 1 + self.c**2, 1 + self.c)[self.rescale]
        return cagrad(gram, self.c) * ((len(gram) if self.reduction == "sum" else 1) / divisor)

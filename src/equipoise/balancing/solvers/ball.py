"""The best worst-case improvement within a ball around the mean gradient: the conic problem of CAGrad."""

import math
from operator import mul

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers.gram import Gram, stationarity_floor, to_tensor
from equipoise.balancing.solvers.simplex import minimum_norm_weights, nonnegative_multipliers

_EXCHANGES = 16
_SEARCHES = 100
_SIGN = 1e-12
_TOLERANCE = 1e-9
# For almost opposite gradients the distance is a small difference of large numbers.
_MOST_ROUNDING = 1e-6


def ball_multipliers(angles: Gram, slopes: Tensor, costs: Tensor, radius: float) -> Tensor | None:
    r"""Solve $\max_d \min_i \langle g_i, d \rangle$ with $\lVert d - g_0 \rVert \le r$, given angles only.

    With unit gradients $u_i$ and $\lVert g_0 \rVert = 1$, the optimum is $d = g_0 + \sum_i y_i u_i$
    with

    $$
    y \ge 0,\quad s = C y + a - \nu k \ge 0,\quad y^T s = 0,\quad y^T C y = r^2,
    $$

    where $a_i = \langle u_i, g_0 \rangle$ and $k_i$ is proportional to $1 / n_i$. For a given set of positive $y_i$
    these are linear equations in $y$ and a quadratic one in $\nu$. The solver exchanges members of the set until all
    signs are right. If that cycles, it searches for $\nu$, with a non-negative least-squares problem at each value.

    Args:
        angles: $C$, the Gram matrix of the unit gradients.
        slopes: $a$, shape `[T]`.
        costs: $k$, positive, at most 1, shape `[T]`.
        radius: $r > 0$.

    Returns:
        $y$, shape `[T]`, or None if the optimum is not unique. Then the least improvement within the ball is zero,
        because some convex combination of the gradients vanishes.

    Raises:
        SolverError: If the optimality condition was not reached.
    """
    found = _exchange(angles.matrix, slopes, costs, radius)
    if found is None:
        found = _search(angles, slopes, costs, radius)
    if found is None:
        return None
    # The radius over the sum of y is the norm of the convex combination of unit gradients that y stands for.
    return found if radius**2 >= stationarity_floor(len(slopes), angles.precision) * found.sum().item() ** 2 else None


def _exchange(cosines: Tensor, slopes: Tensor, costs: Tensor, radius: float) -> Tensor | None:
    sides = torch.stack((costs, slopes), 1)
    active = slopes < _orthogonal_level(slopes.tolist(), costs.tolist(), radius) * costs
    for _ in range(_EXCHANGES):
        solved = _on_active_set(cosines, sides, active, radius)
        if solved is None:
            return None
        multipliers, level = solved
        slack = torch.mv(cosines, multipliers).add_(slopes).sub_(costs, alpha=level)
        wrong = (multipliers + slack) < -_SIGN
        if not wrong.any().item():
            exact = torch.maximum(-slack, slack * active).max().item() <= _TOLERANCE
            return multipliers.clamp(min=0) if exact and _misses(cosines, multipliers, radius) <= _TOLERANCE else None
        active = active ^ wrong
    return None


def _orthogonal_level(slopes: list[float], costs: list[float], radius: float) -> float:
    """Return roughly the level for orthogonal gradients, by Newton's method from above on a convex function."""
    level = min((slope + radius) / cost for slope, cost in zip(slopes, costs, strict=True))
    for _ in range(4):
        gaps = [max(level * cost - slope, 0.0) for slope, cost in zip(slopes, costs, strict=True)]
        growth = sum(map(mul, gaps, costs))
        level -= (sum(map(mul, gaps, gaps)) - radius**2) / (2 * growth)
    return level


def _on_active_set(cosines: Tensor, sides: Tensor, active: Tensor, radius: float) -> tuple[Tensor, float] | None:
    """Return multipliers and level with zero slack on `active`, zero multipliers elsewhere, at distance `radius`."""
    kept = active.to(cosines.dtype)
    system = cosines * kept * kept[:, None]
    system.diagonal().add_(1 - kept)
    right = sides * kept[:, None]
    dependent = 4 * len(kept) * torch.finfo(cosines.dtype).eps
    triangle, failed = torch.linalg.cholesky_ex(system)
    if failed.item() or triangle.diagonal().min().item() ** 2 <= dependent:
        system.diagonal().add_(dependent)
        triangle, failed = torch.linalg.cholesky_ex(system)
        if failed.item():
            return None
    half = torch.linalg.solve_triangular(triangle, right, upper=False)
    (cost_cost, cost_slope), (_, slope_slope) = (half.T @ half).tolist()
    if cost_cost <= 0:
        return None
    # |sum y_i u_i|^2 = level^2 kk - 2 level ka + aa. Without a real root the vertex is nearest to the sphere.
    discriminant = cost_slope**2 - cost_cost * (slope_slope - radius**2)
    level = (cost_slope + math.sqrt(max(discriminant, 0.0))) / cost_cost
    solved = torch.linalg.solve_triangular(triangle.T, half, upper=True)
    return solved[:, 0] * level - solved[:, 1], level


def _misses(cosines: Tensor, multipliers: Tensor, radius: float) -> float:
    """Return the relative error of the squared distance against the squared radius, beyond the distance's rounding."""
    rounding = 4 * torch.finfo(cosines.dtype).eps * multipliers.abs().sum().item() ** 2
    missed = abs((multipliers @ cosines @ multipliers).item() - radius**2)
    return max(missed - min(rounding, _MOST_ROUNDING * radius**2), 0.0) / radius**2


def _search(angles: Gram, slopes: Tensor, costs: Tensor, radius: float) -> Tensor | None:
    """Find the level by bisection, since the distance from the mean gradient grows with it."""
    cosines, precision = angles.matrix, angles.precision
    nothing = torch.zeros_like(slopes, dtype=torch.bool)

    def nearest(level: float, active: Tensor) -> tuple[Tensor, float]:
        multipliers = nonnegative_multipliers(cosines, (slopes - level * costs)[None], active[None], precision)[0]
        return multipliers, math.sqrt(max((multipliers @ cosines @ multipliers).item(), 0.0))

    low = (slopes / costs).min().item()
    multipliers, distance = nearest(0.0, nothing)
    high = 0.0
    if distance <= radius:
        combination = to_tensor(minimum_norm_weights(angles))
        if (combination @ cosines @ combination).item() < stationarity_floor(len(slopes), precision):
            return None
        low, high = max(low, 0.0), 1.0
        for _ in range(_SEARCHES):
            multipliers, distance = nearest(high, multipliers > 0)
            if distance > radius:
                break
            low, high = high, 4 * high
    sides = torch.stack((costs, slopes), 1)
    residual = math.inf
    for _ in range(_SEARCHES):
        solved = _on_active_set(cosines, sides, multipliers > 0, radius)
        level = solved[1] if solved is not None and low < solved[1] < high else (low + high) / 2
        multipliers, distance = nearest(level, multipliers > 0)
        residual = _misses(cosines, multipliers, radius)
        if residual <= _TOLERANCE:
            return multipliers
        low, high = (level, high) if distance < radius else (low, level)
        if high - low <= 2 * torch.finfo(cosines.dtype).eps * high:
            break
    if residual <= 10 * _TOLERANCE:
        return multipliers
    raise SolverError(f"The conic problem stopped at the relative residual {residual:.3g}.", residual)

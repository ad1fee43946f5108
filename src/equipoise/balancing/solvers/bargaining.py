"""Damped Newton for `gram @ w = w ** (-1 / alpha)`, the condition behind Nash-MTL (`alpha = 1`) and FairGrad."""

import math
import sys
from collections.abc import Callable
from operator import mul, sub

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers.gram import Gram, Vector, factorized_rows, stationarity_floor, to_tensor

_EXACT = 1e-12
_TOLERANCE = 1e-8
_LOOSEST_TOLERANCE = 1e-6
_LONG_STEP = 0.3
_LONGEST_STEP = 1e3
_NEWTON_STEPS = 300
_STALLED_STEPS = 6
_CORRECTIONS = 3
_SWEEPS = 20
_NEAR = 0.02
_FAST = 0.3
# Up to so many tasks lists are faster than tensors.
_FEW = 8

Solve = Callable[[Vector], Vector]


def bargaining_weights(gram: Gram, alpha: float) -> Vector:
    r"""Solve $G w = w^{-1/\alpha}, w > 0$, which has at most one solution.

    The solution minimises the strictly convex $\tfrac12 w^T G w - \sum_i \int w_i^{-1/\alpha}$. The search starts at
    the solution for orthogonal gradients, $w_i = n_i^{-2\alpha/(\alpha+1)}$, and all steps are relative to the weights,
    so that units do not matter. A few sweeps over the tasks come close. Then Newton's method takes over. An exact line
    search damps long steps. Short steps are corrected for the curvature with the same factorisation.

    Args:
        gram: Gram matrix without a zero on its diagonal.
        alpha: Positive exponent.

    Returns:
        `w`, of length T.

    Raises:
        SolverError: If no solution exists, because some convex combination of the gradients vanishes, or the relative
            residual stays above 1e-8. For almost opposite gradients 16 digits do not allow that. The limit is then what
            they allow, at most 1e-6.
    """
    power = 1.0 / alpha
    floor = stationarity_floor(len(gram.rows), gram.precision)
    squared_norms = gram.squared_norms()
    norms = list(map(math.sqrt, squared_norms))
    weights = _sweeps(gram.rows, [squared_norm ** (-alpha / (alpha + 1)) for squared_norm in squared_norms], power)

    error, stalled = math.inf, 0
    best, least = weights, math.inf
    for _ in range(_NEWTON_STEPS):
        forces: Vector = torch.mv(gram.matrix, to_tensor(weights)).tolist()
        wanted = [weight**-power for weight in weights]
        previous, error = error, max(abs(force / want - 1) for force, want in zip(forces, wanted, strict=True))
        if error < least:
            best, least = weights, error
        # At the end of progress the error is rounding, which differs from step to step. A few more steps may reduce it.
        stalled += least <= _LOOSEST_TOLERANCE and error > 0.1 * previous
        if error <= _EXACT or (stalled and least <= _TOLERANCE) or stalled == _STALLED_STEPS:
            break
        if sum(map(mul, forces, weights)) < floor * sum(map(mul, norms, weights)) ** 2:
            raise SolverError(
                "No weights exist: some convex combination of the gradients vanishes to the precision of `gram` (a "
                f"Pareto-stationary point, or opposite gradients). The residual of the condition is {error:.3g}.",
                error,
            )
        solve = _hessian_solver(gram, [power * want / weight for want, weight in zip(wanted, weights, strict=True)])
        if solve is None:
            break
        step = _step(solve, weights, forces, wanted, power)
        weights = [weight + weight * value for weight, value in zip(weights, step, strict=True)]

    rounding = _rounding(gram.matrix, best, power)
    if not max(least, rounding) <= min(max(_TOLERANCE, 16 * rounding), _LOOSEST_TOLERANCE):
        raise SolverError(f"Newton's method stopped at the relative residual {least:.3g}.", least)
    return best


def _sweeps(rows: list[Vector], weights: Vector, power: float) -> Vector:
    """Improve one weight at a time by one-dimensional Newton steps, as long as that is fast."""
    change = math.inf
    for _ in range(_SWEEPS):
        previous, moves = change, []
        for task, row in enumerate(rows):
            weight = weights[task]
            wanted = weight**-power
            move = (wanted - sum(map(mul, row, weights))) / (row[task] * weight + power * wanted)
            if move < -0.8:
                move = -0.8
            weights[task] = weight + weight * move
            moves.append(move)
        change = max(map(abs, moves))
        if change <= _NEAR or change > _FAST * previous:
            break
    return weights


def _rounding(matrix: Tensor, weights: Vector, power: float) -> float:
    """Return the residual that rounding alone can leave: the products that cancel, relative to their sum."""
    sizes: Vector = torch.mv(matrix.abs(), to_tensor(weights)).tolist()
    return sys.float_info.epsilon * max(size * weight**power for size, weight in zip(sizes, weights, strict=True))


def _hessian_solver(gram: Gram, added: Vector) -> Solve | None:
    """Return a solver for the Hessian, `gram` plus `added` on the diagonal; None if it is not positive definite."""
    if len(added) <= _FEW:
        triangle = factorized_rows(gram.rows, added)
        return None if triangle is None else triangle.solve
    factor, failed = torch.linalg.cholesky_ex(gram.matrix + to_tensor(added).diag())
    if failed.item():
        return None
    # The inverse serves several right sides, each by one product. The next Newton step corrects its rounding.
    inverse = torch.cholesky_inverse(factor)
    return lambda right: torch.mv(inverse, to_tensor(right)).tolist()


def _step(solve: Solve, weights: Vector, forces: Vector, wanted: Vector, power: float) -> Vector:
    """Return the relative change of the weights: a Newton step, damped if long, corrected if short."""

    def relative_change(right: Vector) -> Vector:
        return [change / weight for change, weight in zip(solve(right), weights, strict=True)]

    gap = [want - force for want, force in zip(wanted, forces, strict=True)]
    step = relative_change(gap)
    longest = max(map(abs, step))
    if longest > _LONG_STEP:
        slope = sum(value * weight * force for value, weight, force in zip(step, weights, forces, strict=True))
        pulls = list(map(mul, wanted, weights))
        # The Hessian times the step is the gap, which gives the curvature of the quadratic part without the matrix.
        quadratic = sum(
            value * (weight * g - power * pull * value)
            for value, weight, g, pull in zip(step, weights, gap, pulls, strict=True)
        )
        length = _step_length(step, slope, quadratic, pulls, power)
        return [length * value for value in step]
    moved = longest
    for _ in range(_CORRECTIONS):
        bent = [
            g + want * ((1 + value) ** -power - 1 + power * value)
            for g, want, value in zip(gap, wanted, step, strict=True)
        ]
        corrected = relative_change(bent)
        previous, moved = moved, max(map(abs, map(sub, corrected, step)))
        step = corrected
        # The next correction would be smaller by about the same factor again.
        if moved**2 <= 0.1 * _EXACT * previous or longest + moved > _LONG_STEP:
            break
    return step


def _step_length(step: Vector, slope: float, curvature: float, pulls: Vector, power: float) -> float:
    """Minimise the convex function along `step`."""
    high = _LONGEST_STEP / max(map(abs, step))
    if min(step) < 0:
        high = min(high, -0.99 / min(step))

    def derivatives(length: float) -> tuple[float, float]:
        first, second = slope + length * curvature, curvature
        for value, pull in zip(step, pulls, strict=True):
            base = 1 + length * value
            force = pull * value * base**-power
            first -= force
            second += power * force * value / base
        return first, second

    return _root(derivatives, min(1.0, high), high)


def _root(derivatives: Callable[[float], tuple[float, float]], guess: float, high: float) -> float:
    """Return the zero of an increasing function that is negative at 0, at most `high`, by bracketed Newton steps."""
    low = 0.0
    for _ in range(30):
        first, second = derivatives(guess)
        low, high = (guess, high) if first < 0 else (low, guess)
        proposal = guess - first / second
        following = proposal if low < proposal < high else (low + high) / 2
        if abs(following - guess) <= 1e-3 * guess:
            return following
        guess = following
    return guess

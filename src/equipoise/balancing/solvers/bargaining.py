"""Damped Newton for ``gram @ w = w ** (-1 / alpha)``, the condition behind Nash-MTL (``alpha = 1``) and FairGrad.

The vectors are lists: for the few tasks there are, an operation on a list is several times faster than one on a tensor.
"""

import math
import sys
from collections.abc import Callable
from operator import mul

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers.gram import stationarity_floor

_TOLERANCE = 1e-8
_LONG_STEP = 0.3
_LONGEST_STEP = 1e3
_NEWTON_STEPS = 100
_CORRECTIONS = 6
_SWEEPS = 20
_FAST = 0.3

Vector = list[float]


def bargaining_weights(gram: Tensor, alpha: float, precision: float) -> Tensor:
    r"""Solve :math:`G w = w^{-1/\alpha}, w > 0`, which is unique where it exists.

    The solution minimises the strictly convex :math:`\tfrac12 w^T G w - \sum_i \int w_i^{-1/\alpha}`. The problem is
    scaled by the solution for orthogonal gradients, :math:`w_i = n_i^{-2\alpha/(\alpha+1)}`, after which it is free of
    units. Newton steps are taken relative to the current point, which keeps the matrix well scaled. Long steps are
    damped by an exact line search; short ones are corrected for the curvature with the same factorisation.

    Args:
        gram: Checked float64 Gram matrix, shape ``[T, T]``, without a zero on its diagonal.
        alpha: Positive exponent.
        precision: Relative precision of the entries of ``gram``.

    Returns:
        ``w``, shape ``[T]``, float64.

    Raises:
        SolverError: If no solution exists, as some convex combination of the gradients vanishes, or it was not reached.
    """
    power = 1.0 / alpha
    floor = stationarity_floor(len(gram), precision)
    start = gram.diagonal() ** (-alpha / (alpha + 1))
    coupling = gram * start * start[:, None]
    rows: list[Vector] = coupling.tolist()
    goals = [row[task] for task, row in enumerate(rows)]
    lengths = [math.sqrt(goal) for goal in goals]
    factors = _sweeps(rows, goals, power)

    error = moved = math.inf
    wanted = goals
    for _ in range(_NEWTON_STEPS):
        forces = [factor * sum(map(mul, row, factors)) for factor, row in zip(factors, rows, strict=True)]
        wanted = [goal * factor ** (1 - power) for goal, factor in zip(goals, factors, strict=True)]
        previous, error = error, max(abs(force / want - 1) for force, want in zip(forces, wanted, strict=True))
        if error <= 1e-14 or moved <= 1e-13 or (error <= _TOLERANCE and error > 0.1 * previous):
            break
        if sum(forces) < floor * sum(map(mul, factors, lengths)) ** 2:
            raise SolverError(
                "No weights exist: some convex combination of the gradients vanishes to the precision of `gram` (a "
                f"Pareto-stationary point, or opposite gradients). The residual of the condition is {error:.3g}.",
                error,
            )
        inverse = _inverse_hessian(coupling, factors, wanted, power)
        if inverse is None:
            break
        step = _step(inverse, forces, wanted, power)
        factors = [factor + factor * value for factor, value in zip(factors, step, strict=True)]
        moved = max(map(abs, step))

    # Where the residual is a difference that cancels, a Newton step that goes nowhere tells more.
    if not 10 * moved <= _TOLERANCE:
        residual = max(error, _rounding(rows, factors, wanted))
        if not residual <= _TOLERANCE:
            raise SolverError(f"Newton's method stopped at the relative residual {residual:.3g}.", residual)
    return start * torch.tensor(factors, dtype=gram.dtype)


def _sweeps(rows: list[Vector], goals: Vector, power: float) -> Vector:
    """The best factor of each task in turn, others fixed, by one-dimensional Newton steps, as long as that is fast."""
    factors = [1.0] * len(goals)
    change = math.inf
    for _ in range(_SWEEPS):
        previous, change = change, 0.0
        for task, row in enumerate(rows):
            factor = factors[task]
            resistance = goals[task] * factor**-power
            slope = sum(map(mul, row, factors)) - resistance
            move = max(-0.8, -slope / (goals[task] * factor + power * resistance))
            factors[task] += factor * move
            change = max(change, abs(move))
        if change <= 1e-15 or change > _FAST * previous:
            break
    return factors


def _rounding(rows: list[Vector], factors: Vector, wanted: Vector) -> float:
    """The residual that rounding alone can leave."""
    sizes = [factor * sum(map(mul, map(abs, row), factors)) for factor, row in zip(factors, rows, strict=True)]
    return sys.float_info.epsilon * max(size / want for size, want in zip(sizes, wanted, strict=True))


def _inverse_hessian(coupling: Tensor, factors: Vector, wanted: Vector, power: float) -> list[Vector] | None:
    scale = torch.tensor(factors, dtype=coupling.dtype)
    hessian = coupling * scale * scale[:, None]
    hessian.diagonal().add_(torch.tensor(wanted, dtype=coupling.dtype), alpha=power)
    triangle, failed = torch.linalg.cholesky_ex(hessian)
    return None if failed.item() else torch.cholesky_inverse(triangle).tolist()


def _step(inverse: list[Vector], forces: Vector, wanted: Vector, power: float) -> Vector:
    """The relative change of the factors: Newton's, damped if it is long, corrected if it is short."""
    gap = [want - force for want, force in zip(wanted, forces, strict=True)]
    step: Vector = [sum(map(mul, row, gap)) for row in inverse]
    longest = max(map(abs, step))
    if longest > _LONG_STEP:
        # The Hessian times the step is the gap, which gives the curvature of the quadratic part without the matrix.
        quadratic = sum(value * (g - power * want * value) for value, g, want in zip(step, gap, wanted, strict=True))
        length = _step_length(step, sum(map(mul, step, forces)), quadratic, wanted, power)
        return [length * value for value in step]
    for _ in range(_CORRECTIONS):
        bent = [
            g + want * ((1 + value) ** -power - 1 + power * value)
            for g, want, value in zip(gap, wanted, step, strict=True)
        ]
        corrected: Vector = [sum(map(mul, row, bent)) for row in inverse]
        moved = max(abs(new - old) for new, old in zip(corrected, step, strict=True))
        step = corrected
        if moved * longest <= 1e-14 or max(map(abs, step)) > _LONG_STEP:
            break
    return step


def _step_length(step: Vector, slope: float, curvature: float, wanted: Vector, power: float) -> float:
    """Minimise the convex function along ``step``."""
    high = _LONGEST_STEP / max(map(abs, step))
    if min(step) < 0:
        high = min(high, -0.99 / min(step))

    def derivatives(length: float) -> tuple[float, float]:
        first, second = slope + length * curvature, curvature
        for value, want in zip(step, wanted, strict=True):
            base = 1 + length * value
            pull = want * value * base**-power
            first -= pull
            second += power * pull * value / base
        return first, second

    return _root(derivatives, min(1.0, high), high)


def _root(derivatives: Callable[[float], tuple[float, float]], guess: float, high: float) -> float:
    """Where an increasing function, negative at 0, vanishes, or ``high``: Newton's method kept inside a bracket."""
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

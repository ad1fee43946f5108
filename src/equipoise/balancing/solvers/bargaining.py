"""Damped Newton for ``gram @ w = w ** (-1 / alpha)``, the condition behind Nash-MTL (``alpha = 1``) and FairGrad."""

import math
import sys
from collections.abc import Callable
from operator import mul, sub

from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers.gram import Gram, Vector, stationarity_floor, to_tensor
from equipoise.balancing.solvers.triangular import Triangle, factorized, product

_EXACT = 1e-12
_TOLERANCE = 1e-8
_LOOSEST_TOLERANCE = 1e-6
_LONG_STEP = 0.3
_LONGEST_STEP = 1e3
_NEWTON_STEPS = 300
_STALLED_STEPS = 6
_CORRECTIONS = 6
_SWEEPS = 20
_NEAR = 0.02
_FAST = 0.3


def bargaining_weights(gram: Gram, alpha: float) -> Vector:
    r"""Solve :math:`G w = w^{-1/\alpha}, w > 0`, which is unique where it exists.

    The solution minimises the strictly convex :math:`\tfrac12 w^T G w - \sum_i \int w_i^{-1/\alpha}`. The problem is
    scaled by the solution for orthogonal gradients, :math:`w_i = n_i^{-2\alpha/(\alpha+1)}`, after which it is free of
    units; factors of that are what is solved for. A few sweeps over the tasks come near, then Newton's method ends it:
    long steps are damped by an exact line search, short ones are corrected for the curvature with the same
    factorisation.

    Args:
        gram: Gram matrix without a zero on its diagonal.
        alpha: Positive exponent.

    Returns:
        ``w``, of length T.

    Raises:
        SolverError: If no solution exists, as some convex combination of the gradients vanishes, or it was not reached
            to 1e-8. Where gradients are almost opposite, numbers of 16 digits cannot come that close: what they allow
            is returned, up to 1e-6.
    """
    power = 1.0 / alpha
    floor = stationarity_floor(len(gram.rows), gram.precision)
    start = [squared_norm ** (-alpha / (alpha + 1)) for squared_norm in gram.squared_norms()]
    scale = to_tensor(start)
    coupling = gram.matrix * scale * scale[:, None]
    rows: list[Vector] = coupling.tolist()
    goals = [row[task] for task, row in enumerate(rows)]
    factors = _sweeps(rows, goals, power)

    error, stalled = math.inf, 0
    best, least = factors, math.inf
    for _ in range(_NEWTON_STEPS):
        forces = product(rows, factors)
        wanted = [goal * factor**-power for goal, factor in zip(goals, factors, strict=True)]
        previous, error = error, max(abs(force / want - 1) for force, want in zip(forces, wanted, strict=True))
        if error < least:
            best, least = factors, error
        # What remains when progress ends is rounding, which differs from step to step: a few more may do better.
        stalled += least <= _LOOSEST_TOLERANCE and error > 0.1 * previous
        if error <= _EXACT or (stalled and least <= _TOLERANCE) or stalled == _STALLED_STEPS:
            break
        lengths = [factor * math.sqrt(goal) for factor, goal in zip(factors, goals, strict=True)]
        if sum(map(mul, forces, factors)) < floor * sum(lengths) ** 2:
            raise SolverError(
                "No weights exist: some convex combination of the gradients vanishes to the precision of `gram` (a "
                f"Pareto-stationary point, or opposite gradients). The residual of the condition is {error:.3g}.",
                error,
            )
        triangle = _hessian(coupling, factors, wanted, power)
        if triangle is None:
            break
        step = _step(triangle, factors, forces, wanted, power)
        factors = [factor + factor * value for factor, value in zip(factors, step, strict=True)]

    rounding = _rounding(rows, best, goals, power)
    if not max(least, rounding) <= min(max(_TOLERANCE, 16 * rounding), _LOOSEST_TOLERANCE):
        raise SolverError(f"Newton's method stopped at the relative residual {least:.3g}.", least)
    return list(map(mul, start, best))


def _sweeps(rows: list[Vector], goals: Vector, power: float) -> Vector:
    """The best factor of each task in turn, others fixed, by one-dimensional Newton steps, as long as that is fast."""
    factors = [1.0] * len(goals)
    change = math.inf
    for _ in range(_SWEEPS):
        previous, change = change, 0.0
        for task, row in enumerate(rows):
            factor, goal = factors[task], goals[task]
            resistance = goal * factor**-power
            move = (resistance - sum(map(mul, row, factors))) / (goal * factor + power * resistance)
            if move < -0.8:
                move = -0.8
            factors[task] = factor + factor * move
            change = max(change, abs(move))
        if change <= _NEAR or change > _FAST * previous:
            break
    return factors


def _rounding(rows: list[Vector], factors: Vector, goals: Vector, power: float) -> float:
    """The residual that rounding alone can leave: the products that the sum cancels, in units of what is left."""
    sizes = [sum(map(mul, map(abs, row), factors)) for row in rows]
    left = [goal * factor**-power for goal, factor in zip(goals, factors, strict=True)]
    return sys.float_info.epsilon * max(size / rest for size, rest in zip(sizes, left, strict=True))


def _hessian(coupling: Tensor, factors: Vector, wanted: Vector, power: float) -> Triangle | None:
    hessian = coupling.clone()
    hessian.diagonal().add_(to_tensor([power * want / factor for want, factor in zip(wanted, factors, strict=True)]))
    return factorized(hessian)


def _step(triangle: Triangle, factors: Vector, forces: Vector, wanted: Vector, power: float) -> Vector:
    """The relative change of the factors: Newton's, damped if it is long, corrected if it is short."""

    def relative_change(right: Vector) -> Vector:
        return [change / factor for change, factor in zip(triangle.solve(right), factors, strict=True)]

    gap = [want - force for want, force in zip(wanted, forces, strict=True)]
    step = relative_change(gap)
    longest = max(map(abs, step))
    if longest > _LONG_STEP:
        slope = sum(value * factor * force for value, factor, force in zip(step, factors, forces, strict=True))
        pulls = list(map(mul, wanted, factors))
        # The Hessian times the step is the gap, which gives the curvature of the quadratic part without the matrix.
        quadratic = sum(
            value * (factor * g - power * pull * value)
            for value, factor, g, pull in zip(step, factors, gap, pulls, strict=True)
        )
        length = _step_length(step, slope, quadratic, pulls, power)
        return [length * value for value in step]
    for _ in range(_CORRECTIONS):
        bent = [
            g + want * ((1 + value) ** -power - 1 + power * value)
            for g, want, value in zip(gap, wanted, step, strict=True)
        ]
        corrected = relative_change(bent)
        moved = max(map(abs, map(sub, corrected, step)))
        step = corrected
        # The next correction would be smaller by about the factor `longest`.
        if moved * longest <= 0.1 * _EXACT or longest + moved > _LONG_STEP:
            break
    return step


def _step_length(step: Vector, slope: float, curvature: float, pulls: Vector, power: float) -> float:
    """Minimise the convex function along ``step``."""
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

"""Least squares with non-negative coefficients, given by a Gram matrix."""

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers.active_set import solve_by_active_set

_EXCHANGES = 12
_REFINEMENTS = 3
_SIGN = 1e-12
_EXACT = 1e-12
_TOLERANCE = 1e-9


def nonnegative_multipliers(matrix: Tensor, offsets: Tensor, active: Tensor, precision: float) -> Tensor:
    r"""Solve several problems :math:`\min_{x \ge 0} \tfrac12 x^T Q x + q^T x` that share the matrix :math:`Q`.

    Equivalently: :math:`x \ge 0,\ s = Q x + q \ge 0,\ x^T s = 0`. Block principal pivoting solves all problems at once:
    the coordinates whose multiplier or slack has the wrong sign change sides together, which takes a handful of
    factorisations. What it leaves (nearly dependent gradients make it cycle) goes to an active-set method, one by one.

    Args:
        matrix: :math:`Q`, positive semi-definite with a unit diagonal, shape ``[T, T]``, float64.
        offsets: The vectors :math:`q`, one a row, shape ``[B, T]``.
        active: A guess of the coordinates that are positive, boolean, shape ``[B, T]``.
        precision: Relative precision of the entries of :math:`Q`.

    Returns:
        The solutions, shape ``[B, T]``. Where :math:`Q` is singular they are not unique; :math:`Q x` is.

    Raises:
        SolverError: If a problem has no solution, or a solution violates its optimality condition by more than 1e-9,
            or what ``precision`` explains.
    """
    # Rounding can make a singular matrix slightly indefinite, or turn opposite gradients into a thin cone that is not
    # there. This shift hides it and is itself below rounding.
    shifted = matrix.clone()
    shifted.diagonal().add_(4 * matrix.shape[0] * precision)
    solution = torch.zeros_like(offsets)
    for _ in range(_EXCHANGES):
        kept = active.to(matrix.dtype)
        system = shifted * (kept[:, :, None] * kept[:, None, :])
        system.diagonal(dim1=1, dim2=2).add_(1 - kept)
        solution = torch.linalg.solve_ex(system, -kept * offsets).result
        slack = torch.addmm(offsets, solution, matrix)
        # One of the two is zero at every coordinate, so that the sum shows the sign of the other.
        wrong = (solution + slack) < -_SIGN
        if not wrong.any().item():
            if (slack * kept).abs().max().item() <= _EXACT:
                return solution.clamp(min=0)
            solution = _refined(matrix, offsets, solution, system, kept)
            break
        active = active ^ wrong
    return _verified(matrix, offsets, solution.clamp(min=0), precision)


def _refined(matrix: Tensor, offsets: Tensor, solution: Tensor, system: Tensor, kept: Tensor) -> Tensor:
    """Take back what the shift has done to large multipliers, where it is small enough to be told from rounding."""
    for _ in range(_REFINEMENTS):
        slack = torch.addmm(offsets, solution, matrix)
        correction = torch.linalg.solve_ex(system, -kept * slack).result
        small = correction.abs().amax(1, keepdim=True) <= 0.1 * solution.abs().amax(1, keepdim=True)
        refined = solution + correction * small
        solution = refined.where((refined * kept >= 0).all(1, keepdim=True), solution)
    return solution


def _verified(matrix: Tensor, offsets: Tensor, solution: Tensor, precision: float) -> Tensor:
    """Solve the problems again whose solutions are not optimal, one by one."""
    residuals = _residuals(matrix, offsets, solution, precision)
    tolerance = max(_TOLERANCE, 8 * matrix.shape[0] * precision)
    for row in (~(residuals <= tolerance)).nonzero().flatten().tolist():
        solution[row] = solve_by_active_set(matrix, offsets[row], solution[row] > 0, precision)
        residuals[row] = _residuals(matrix, offsets[row : row + 1], solution[row : row + 1], precision)[0]
    worst = residuals.max().item()
    if not worst <= tolerance:
        raise SolverError(
            f"The non-negative least-squares problem stopped at the relative residual {worst:.3g}.", worst
        )
    return solution


def _residuals(matrix: Tensor, offsets: Tensor, solution: Tensor, precision: float) -> Tensor:
    """How far each solution is from optimal: negative slack, or slack at a positive coordinate.

    Relative to ``offsets``, beyond the rounding of the product with the matrix.
    """
    slack = torch.addmm(offsets, solution, matrix)
    violation = torch.maximum(-slack, slack * (solution > 0)).amax(1) - 16 * precision * solution.sum(1)
    return violation / offsets.abs().amax(1).clamp(min=torch.finfo(matrix.dtype).tiny)

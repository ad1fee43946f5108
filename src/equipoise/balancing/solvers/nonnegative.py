"""Least squares with non-negative coefficients, given by a Gram matrix."""

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError

_EXCHANGES = 12
_SIGN = 1e-12
_EXACT = 1e-11
_TOLERANCE = 1e-9


def nonnegative_multipliers(matrix: Tensor, offsets: Tensor, active: Tensor, precision: float) -> Tensor:
    r"""Solve several problems :math:`\min_{x \ge 0} \tfrac12 x^T Q x + q^T x` that share the matrix :math:`Q`.

    Equivalently: :math:`x \ge 0,\ s = Q x + q \ge 0,\ x^T s = 0`. Block principal pivoting solves all problems at once:
    the coordinates whose multiplier or slack has the wrong sign change sides together, which takes a handful of
    factorisations. What it leaves (dependent gradients make it cycle) goes to an active-set method, one by one.

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
    size = matrix.shape[0]
    # Rounding can make a singular matrix slightly indefinite, or turn opposite gradients into a thin cone that is not
    # there. This shift hides it and is itself below rounding.
    shifted = matrix.clone()
    shifted.diagonal().add_(4 * size * precision)
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
            if (slack * kept).abs().max().item() <= max(_EXACT, 4 * size * precision):
                return solution.clamp(min=0)
            break
        active = active ^ wrong
    return _verified(matrix, offsets, solution.clamp(min=0), precision)


def _verified(matrix: Tensor, offsets: Tensor, solution: Tensor, precision: float) -> Tensor:
    """Solve the problems again whose solutions are not optimal, one by one."""
    residuals = _residuals(matrix, offsets, solution, precision)
    tolerance = max(_TOLERANCE, 8 * matrix.shape[0] * precision)
    for row in (~(residuals <= tolerance)).nonzero().flatten().tolist():
        solution[row] = _one_at_a_time(matrix, offsets[row], precision)
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


def _one_at_a_time(matrix: Tensor, offset: Tensor, precision: float) -> Tensor:
    """The primal active-set method for one problem, on a square root of the matrix, where dependence shows reliably.

    The columns of the positive coordinates stay independent: a column that depends on them enters by exchange.
    """
    values, vectors = torch.linalg.eigh(matrix)
    dependent = 4 * matrix.shape[0] * precision
    real = values > dependent * values[-1] / 4
    columns = values[real].sqrt()[:, None] * vectors[:, real].T
    solution = torch.zeros_like(offset)
    scale = offset.abs().max().item()
    chosen: list[int] = []
    for _ in range(20 * matrix.shape[0]):
        slack = matrix @ solution + offset
        slack[chosen] = 0.0
        least, entering = slack.min(0)
        if least.item() >= -_SIGN * scale:
            break
        share = _coefficients(columns[:, chosen], columns[:, entering])
        if (columns[:, entering] - columns[:, chosen] @ share).square().sum().item() <= dependent:
            # The matrix is flat along the exchange of these columns, and the slack says downhill: go to the end.
            length = torch.where(share > 0, solution[chosen] / share, torch.full_like(share, torch.inf))
            if not length.isfinite().any().item():
                break
            solution[chosen] -= length.min() * share
            solution[entering] = length.min()
            del chosen[int(length.argmin())]
        chosen.append(int(entering))
        chosen, solution = _descend(columns, offset, chosen, solution)
    return solution


def _descend(columns: Tensor, offset: Tensor, chosen: list[int], solution: Tensor) -> tuple[list[int], Tensor]:
    """Go to the minimum over the chosen coordinates, dropping those that reach zero on the way."""
    while chosen:
        triangle = torch.linalg.qr(columns[:, chosen], mode="r").R
        best = -torch.cholesky_solve(offset[chosen, None], triangle, upper=True)[:, 0]
        current = solution[chosen]
        lengths = torch.where(best <= 0, current / (current - best), torch.ones_like(best))
        length, blocking = lengths.min(0)
        solution = torch.zeros_like(solution)
        if best.min().item() > 0:
            solution[chosen] = best
            break
        solution[chosen] = (current + length * (best - current)).clamp(min=0)
        solution[chosen[int(blocking)]] = 0.0
        del chosen[int(blocking)]
    return chosen, solution


def _coefficients(columns: Tensor, column: Tensor) -> Tensor:
    """The least-squares combination of independent ``columns`` that gives ``column``."""
    if columns.shape[1] == 0:
        return column[:0]
    return torch.linalg.lstsq(columns, column[:, None], driver="gelsy").solution[:, 0]

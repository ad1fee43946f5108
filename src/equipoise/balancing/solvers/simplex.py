"""Problems on the simplex and the positive orthant: least norm, projection, non-negative least squares."""

from operator import mul

import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.solvers.gram import Gram, Vector, factorized, product

_EXCHANGES = 12
_REFINEMENTS = 3
_SIGN = 1e-12
_EXACT = 1e-12
_TOLERANCE = 1e-9


def minimum_norm_weights(gram: Gram) -> Vector:
    r"""Minimise $w^T G w$ over the simplex $w \ge 0, \sum_i w_i = 1$, exactly.

    The problem is $\min_{x \ge 0} \tfrac12 x^T (G + \mu 1 1^T) x - \mu 1^T x$ with $w = x / \sum_i x_i$,
    for any $\mu > 0$. It has a solution even if the least norm is zero. Take $\mu = \min_i G_{ii}$, which
    is at least the least squared norm, and give the matrix a unit diagonal.

    Args:
        gram: Gram matrix.

    Returns:
        `w`, of length T. If several combinations have the least norm, one of them. A zero gradient takes all the
        weight.

    Raises:
        SolverError: If the optimality condition was not reached.
    """
    # In most cases every task has a weight. Then one factorisation is enough.
    triangle = factorized(gram.matrix)
    weights = [0.0] * len(gram.rows) if triangle is None else triangle.solve([1.0] * len(gram.rows))
    if triangle is not None and min(weights) >= 0:
        products = product(gram.rows, weights)
        if max(products) - 1 <= _EXACT and 1 - min(products) <= _EXACT:
            total = sum(weights)
            return [weight / total for weight in weights]
    return _on_a_face(gram, weights)


def _on_a_face(gram: Gram, guess: Vector) -> Vector:
    squared_norms = gram.matrix.diagonal()
    least, index = squared_norms.min(0)
    if least.item() == 0:
        return [float(task == index) for task in range(len(guess))]
    scales = (squared_norms / least + 1).rsqrt()
    matrix = (gram.matrix / least + 1) * scales * scales[:, None]
    active = torch.tensor([[weight > 0 for weight in guess]])
    multipliers = nonnegative_multipliers(matrix, -scales[None], active, gram.precision)[0].tolist()
    weights = list(map(mul, multipliers, scales.tolist()))
    total = sum(weights)
    return [weight / total for weight in weights]


def project_to_simplex(point: Tensor) -> Tensor:
    r"""Project a point onto the simplex $w \ge 0, \sum_i w_i = 1$.

    Example:
        >>> import torch
        >>> project_to_simplex(torch.tensor([0.5, 0.7, -1.0]))
        tensor([0.4000, 0.6000, 0.0000])
    """
    descending = point.sort(descending=True).values
    counts = torch.arange(1, len(point) + 1, dtype=point.dtype, device=point.device)
    thresholds = (descending.cumsum(0) - 1) / counts
    # The wanted threshold is that of the longest prefix that stays positive. It is the largest of all.
    return (point - thresholds.max()).clamp(min=0)


def nonnegative_multipliers(matrix: Tensor, offsets: Tensor, active: Tensor, precision: float) -> Tensor:
    r"""Solve several problems $\min_{x \ge 0} \tfrac12 x^T Q x + q^T x$ that share the matrix $Q$.

    Equivalently: $x \ge 0,\ s = Q x + q \ge 0,\ x^T s = 0$. Block principal pivoting solves all problems at once. All
    coordinates whose multiplier or slack has the wrong sign change sides together, which takes a handful of
    factorisations. Nearly dependent gradients can make it cycle. Problems that it leaves go to an active-set method,
    one by one.

    Args:
        matrix: $Q$, positive semi-definite with a unit diagonal, shape `[T, T]`, float64.
        offsets: Vectors $q$, one in each row, shape `[B, T]`.
        active: Guess of the positive coordinates, boolean, shape `[B, T]`.
        precision: Relative precision of the entries of $Q$.

    Returns:
        The solutions, shape `[B, T]`. If $Q$ is singular they are not unique, but $Q x$ is.

    Raises:
        SolverError: If a problem has no solution, or a solution violates its optimality condition by more than 1e-9
            and by more than `precision` explains.
    """
    # Rounding can make a singular matrix slightly indefinite, or turn opposite gradients into a thin cone. This shift
    # hides that, and is itself below rounding.
    shifted = matrix.clone()
    shifted.diagonal().add_(4 * matrix.shape[0] * precision)
    solution = torch.zeros_like(offsets)
    for _ in range(_EXCHANGES):
        kept = active.to(matrix.dtype)
        system = shifted * (kept[:, :, None] * kept[:, None, :])
        system.diagonal(dim1=1, dim2=2).add_(1 - kept)
        solution = torch.linalg.solve_ex(system, -kept * offsets).result
        slack = torch.addmm(offsets, solution, matrix)
        # At every coordinate one of the two is zero, so the sum has the sign of the other.
        wrong = (solution + slack) < -_SIGN
        if not wrong.any().item():
            if (slack * kept).abs().max().item() <= _EXACT:
                return solution.clamp(min=0)
            solution = _refined(matrix, offsets, solution, system, kept)
            break
        active = active ^ wrong
    return _verified(matrix, offsets, solution.clamp(min=0), precision)


def _refined(matrix: Tensor, offsets: Tensor, solution: Tensor, system: Tensor, kept: Tensor) -> Tensor:
    """Undo the effect of the shift on large multipliers, as far as it differs from rounding."""
    for _ in range(_REFINEMENTS):
        slack = torch.addmm(offsets, solution, matrix)
        correction = torch.linalg.solve_ex(system, -kept * slack).result
        small = correction.abs().amax(1, keepdim=True) <= 0.1 * solution.abs().amax(1, keepdim=True)
        refined = solution + correction * small
        solution = refined.where((refined * kept >= 0).all(1, keepdim=True), solution)
    return solution


def _verified(matrix: Tensor, offsets: Tensor, solution: Tensor, precision: float) -> Tensor:
    """Solve the problems without an optimal solution again, one by one."""
    residuals = _residuals(matrix, offsets, solution, precision)
    tolerance = max(_TOLERANCE, 8 * matrix.shape[0] * precision)
    for row in (~(residuals <= tolerance)).nonzero().flatten().tolist():
        solution[row] = _active_set(matrix, offsets[row], solution[row] > 0, precision)
        residuals[row] = _residuals(matrix, offsets[row : row + 1], solution[row : row + 1], precision)[0]
    worst = residuals.max().item()
    if not worst <= tolerance:
        raise SolverError(
            f"The non-negative least-squares problem stopped at the relative residual {worst:.3g}.", worst
        )
    return solution


def _residuals(matrix: Tensor, offsets: Tensor, solution: Tensor, precision: float) -> Tensor:
    """Return each solution's violation of optimality: negative slack, or slack at a positive coordinate.

    It is relative to `offsets`, and does not count the rounding of the product with the matrix.
    """
    slack = torch.addmm(offsets, solution, matrix)
    violation = torch.maximum(-slack, slack * (solution > 0)).amax(1) - 16 * precision * solution.sum(1)
    return violation / offsets.abs().amax(1).clamp(min=torch.finfo(matrix.dtype).tiny)


def _active_set(matrix: Tensor, offset: Tensor, guess: Tensor, precision: float) -> Tensor:
    r"""Solve $\min_{x \ge 0} \tfrac12 x^T Q x + q^T x$, by an active-set method that adds one coordinate at a time.

    The gradients of the positive coordinates stay independent. A dependent one enters in exchange for another.

    Args:
        matrix: $Q$, positive semi-definite with a unit diagonal, shape `[T, T]`, float64.
        offset: $q$, shape `[T]`.
        guess: Coordinates to try first as positive ones, boolean, shape `[T]`.
        precision: Relative precision of the entries of $Q$.

    Returns:
        `x`, shape `[T]`. It is optimal unless rounding or the limit of steps prevents it.
    """
    dependent = 4 * matrix.shape[0] * precision
    scale = offset.abs().max().item()
    chosen, solution = _start(matrix, offset, guess.nonzero()[:, 0], dependent)
    for _ in range(20 * matrix.shape[0]):
        slack = torch.addmv(offset, matrix, solution)
        slack[chosen] = 0.0
        least, entering = slack.min(0)
        if least.item() >= -_SIGN * scale:
            break
        candidates = torch.cat((chosen, entering[None]))
        triangle = _triangle(matrix, candidates)
        if not triangle[-1, -1].item() ** 2 > dependent:
            # The matrix is flat along the exchange of these gradients, and the slack is negative: go to the end.
            share = torch.linalg.solve_triangular(triangle[:-1, :-1].T, triangle[-1, :-1, None], upper=True)[:, 0]
            if not (share > 0).any().item():
                break
            lengths = torch.where(share > 0, solution[chosen] / share, torch.full_like(share, torch.inf))
            length, leaving = lengths.min(0)
            solution[chosen] -= length * share
            solution[entering] = length
            candidates = _without(candidates, int(leaving))
            triangle = _triangle(matrix, candidates)
        chosen, solution = _descend(matrix, offset, candidates, triangle, solution)
    return solution


def _start(matrix: Tensor, offset: Tensor, chosen: Tensor, dependent: float) -> tuple[Tensor, Tensor]:
    """Return the minimum over coordinates of the guess that are positive there; none if they are dependent."""
    solution = torch.zeros_like(offset)
    while len(chosen) > 0:
        triangle = _triangle(matrix, chosen)
        if not triangle.diagonal().min().item() ** 2 > dependent:
            return chosen[:0], solution
        best = _minimum(triangle, offset[chosen])
        if best.min().item() > 0:
            solution[chosen] = best
            break
        chosen = chosen[best > 0]
    return chosen, solution


def _descend(
    matrix: Tensor, offset: Tensor, chosen: Tensor, triangle: Tensor, solution: Tensor
) -> tuple[Tensor, Tensor]:
    """Go to the minimum over the chosen coordinates, dropping those that reach zero on the way."""
    while True:
        current = solution[chosen]
        best = _minimum(triangle, offset[chosen])
        solution = torch.zeros_like(solution)
        if best.min().item() > 0:
            solution[chosen] = best
            return chosen, solution
        lengths = torch.where(best <= 0, current / (current - best), torch.ones_like(best))
        length, blocking = lengths.min(0)
        solution[chosen] = (current + length * (best - current)).clamp(min=0)
        solution[chosen[blocking]] = 0.0
        chosen = _without(chosen, int(blocking))
        if len(chosen) == 0:
            return chosen, solution
        triangle = _triangle(matrix, chosen)


def _without(chosen: Tensor, place: int) -> Tensor:
    return torch.cat((chosen[:place], chosen[place + 1 :]))


def _triangle(matrix: Tensor, chosen: Tensor) -> Tensor:
    """Return the Cholesky factor for the chosen coordinates. A dependent last one has a pivot of about 0."""
    return torch.linalg.cholesky_ex(matrix[chosen[:, None], chosen]).L


def _minimum(triangle: Tensor, offset: Tensor) -> Tensor:
    half = torch.linalg.solve_triangular(triangle, -offset[:, None], upper=False)
    return torch.linalg.solve_triangular(triangle.T, half, upper=True)[:, 0]

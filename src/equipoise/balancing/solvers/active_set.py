"""The primal active-set method for one non-negative least-squares problem, where gradients are nearly dependent."""

import torch
from torch import Tensor

_SIGN = 1e-12


def solve_by_active_set(matrix: Tensor, offset: Tensor, guess: Tensor, precision: float) -> Tensor:
    r"""Solve :math:`\min_{x \ge 0} \tfrac12 x^T Q x + q^T x`, one coordinate entering at a time.

    The gradients of the positive coordinates stay independent: one that depends on them enters by exchange.

    Args:
        matrix: :math:`Q`, positive semi-definite with a unit diagonal, shape ``[T, T]``, float64.
        offset: :math:`q`, shape ``[T]``.
        guess: The coordinates to try as positive ones first, boolean, shape ``[T]``.
        precision: Relative precision of the entries of :math:`Q`.

    Returns:
        ``x``, shape ``[T]``: optimal unless rounding or the limit of steps was in the way.
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
            # The matrix is flat along the exchange of these gradients, and the slack says downhill: go to the end.
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
    """The minimum over coordinates of the guess that are positive there, or nothing chosen if they are dependent."""
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
    """The Cholesky factor for the chosen coordinates; the last pivot is about zero if the last of them is dependent."""
    return torch.linalg.cholesky_ex(matrix[chosen[:, None], chosen]).L


def _minimum(triangle: Tensor, offset: Tensor) -> Tensor:
    half = torch.linalg.solve_triangular(triangle, -offset[:, None], upper=False)
    return torch.linalg.solve_triangular(triangle.T, half, upper=True)[:, 0]

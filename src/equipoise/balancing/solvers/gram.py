"""Gram matrices for the solvers: checked, in float64 on the CPU, scaled and factorised."""

import math
from array import array
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from operator import mul
from typing import NamedTuple

import torch
from torch import Tensor

Vector = list[float]


@dataclass(frozen=True)
class Gram:
    """A checked Gram matrix on the CPU.

    An operation on a tensor costs microseconds even for few tasks. On a short list it costs less. So the solvers use
    the matrix in both forms: the tensor for factorisations, the rows for everything else.

    Attributes:
        matrix: The matrix, float64, shape `[T, T]`.
        precision: Relative precision of the entries: that of the dtype in which they were computed.
    """

    matrix: Tensor
    precision: float

    @cached_property
    def rows(self) -> list[Vector]:
        """The matrix as lists."""
        return self.matrix.tolist()

    def squared_norms(self) -> Vector:
        """Return the diagonal."""
        return [row[task] for task, row in enumerate(self.rows)]

    def of(self, tasks: list[int]) -> "Gram":
        """Return the Gram matrix of some of the gradients, in the given order."""
        index = torch.tensor(tasks)
        return Gram(self.matrix[index[:, None], index], self.precision)


class Normalized(NamedTuple):
    """A Gram matrix split into lengths and angles: `gram = norms[:, None] * cosines * norms`.

    Attributes:
        norms: Norms of the gradients.
        cosines: Gram matrix of the unit gradients. Rows and columns of zero gradients are zero.
    """

    norms: Vector
    cosines: Gram


def read_gram(gram: Tensor) -> Gram:
    """Check a Gram matrix, and copy it to the CPU in float64 (the only transfer of a solver).

    Raises:
        ValueError: If `gram` is not a finite, symmetric `[T, T]` floating-point tensor with a non-negative
            diagonal.
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] == 0 or not gram.is_floating_point():
        raise ValueError(
            "`gram` should be a square floating-point matrix with one row per task. "
            f"Found `gram` of shape {list(gram.shape)} and dtype {gram.dtype}."
        )
    found = Gram(gram.detach().to("cpu", torch.float64), torch.finfo(gram.dtype).eps)
    if not math.isfinite(sum(map(sum, found.rows))):
        raise ValueError("`gram` should be finite. Found NaN or infinity: check the losses and gradients it came from.")
    if found.rows != list(map(list, zip(*found.rows, strict=True))):
        _check_symmetry(found)
        found = Gram((found.matrix + found.matrix.T) / 2, found.precision)
    if min(found.squared_norms()) < 0:
        raise ValueError(
            "`gram` should have a non-negative diagonal, the squared norms of the gradients. "
            f"Found `gram.diagonal() = {found.squared_norms()}`."
        )
    return found


def normalized(gram: Gram) -> Normalized:
    """Split a checked Gram matrix into norms and cosines, so that solvers do not depend on the scale."""
    norms = list(map(math.sqrt, gram.squared_norms()))
    inverse = to_tensor([1 / norm if norm > 0 else 0.0 for norm in norms])
    return Normalized(norms, Gram(gram.matrix * inverse * inverse[:, None], gram.precision))


def to_tensor(values: Vector) -> Tensor:
    """Return a float64 tensor on the CPU, several times faster than `torch.tensor`."""
    return torch.frombuffer(array("d", values), dtype=torch.float64)


def stationarity_floor(tasks: int, precision: float) -> float:
    """Return the squared norm below which a convex combination of unit gradients is rounding.

    A cosine carries an absolute error of the order of the precision in which the Gram matrix was computed, and so does
    every convex combination of cosines.
    """
    return 4 * tasks * precision


def _check_symmetry(gram: Gram) -> None:
    norms = gram.matrix.diagonal().clamp(min=0).sqrt()
    difference = (gram.matrix - gram.matrix.T).abs()
    # Both triangles come from the same numbers, so they differ by rounding only. Its size grows with D.
    if (difference - math.sqrt(gram.precision) * norms * norms[:, None]).max().item() > 0:
        raise ValueError(
            "`gram` should be symmetric, as `jacobian @ jacobian.T` is. "
            f"Found `(gram - gram.T).abs().max() = {difference.max().item():g}`."
        )


class Triangle(NamedTuple):
    """The Cholesky factor $L$ of $A = L L^T$.

    Attributes:
        rows: Rows of L.
        columns: Columns of L from the diagonal on. The last column comes first, and each is in reverse order, as back
            substitution needs them.
    """

    rows: list[Vector]
    columns: list[tuple[float, ...]]

    def solve(self, right: Vector) -> Vector:
        """Return the solution `x` of `A x = right`."""
        forward: Vector = []
        for row, value in zip(self.rows, right, strict=True):
            # `map` ends with the shorter of the two, the part that is known so far.
            forward.append((value - sum(map(mul, row, forward))) / row[len(forward)])
        backward: Vector = []
        for column in self.columns:
            known = len(backward)
            backward.append((forward[~known] - sum(map(mul, column, backward))) / column[known])
        backward.reverse()
        return backward

    def least_pivot(self) -> float:
        """Return the least squared entry of the diagonal. For unit gradients it is a squared sine to earlier ones."""
        return min(row[place] for place, row in enumerate(self.rows)) ** 2


def factorized(matrix: Tensor) -> Triangle | None:
    """Return the Cholesky factor of a float64 matrix on the CPU, or None if it is not positive definite."""
    triangle, failed = torch.linalg.cholesky_ex(matrix)
    if failed.item():
        return None
    rows: list[Vector] = triangle.tolist()
    return Triangle(rows, [column[::-1] for column in zip(*rows, strict=True)][::-1])


def factorized_rows(rows: list[Vector], added: Vector) -> Triangle | None:
    """Return the same for a matrix given by its rows, plus a diagonal. It is faster for few tasks."""
    triangle: list[Vector] = []
    for place, (row, extra) in enumerate(zip(rows, added, strict=True)):
        found: Vector = []
        for column, above in enumerate(triangle):
            found.append((row[column] - sum(map(mul, found, above))) / above[column])
        pivot = row[place] + extra - sum(map(mul, found, found))
        if not pivot > 0:
            return None
        triangle.append([*found, math.sqrt(pivot)])
    return Triangle(triangle, [column[::-1] for column in zip_longest(*triangle, fillvalue=0.0)][::-1])


def product(rows: list[Vector], vector: Vector) -> Vector:
    """Return matrix times vector."""
    return [sum(map(mul, row, vector)) for row in rows]

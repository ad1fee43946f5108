"""Cholesky factorisation of small matrices, and what is solved with it on lists."""

import math
from itertools import zip_longest
from operator import mul
from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.balancing.solvers.gram import Vector


class Triangle(NamedTuple):
    """The factor :math:`L` of :math:`A = L L^T`.

    Attributes:
        rows: Those of L.
        columns: Those of L, from the diagonal's row on, the last column first; both in reverse order, as back
            substitution wants them.
    """

    rows: list[Vector]
    columns: list[tuple[float, ...]]

    def solve(self, right: Vector) -> Vector:
        """The solution ``x`` of ``A x = right``."""
        forward: Vector = []
        for row, value in zip(self.rows, right, strict=True):
            # `map` ends with the shorter of the two: what is known so far.
            forward.append((value - sum(map(mul, row, forward))) / row[len(forward)])
        backward: Vector = []
        for column in self.columns:
            known = len(backward)
            backward.append((forward[~known] - sum(map(mul, column, backward))) / column[known])
        backward.reverse()
        return backward

    def least_pivot(self) -> float:
        """The least squared entry of the diagonal: for unit gradients, the squared sine to those before."""
        return min(row[place] for place, row in enumerate(self.rows)) ** 2


def factorized(matrix: Tensor) -> Triangle | None:
    """The Cholesky factor of a float64 matrix on the host, or None if it is not positive definite."""
    triangle, failed = torch.linalg.cholesky_ex(matrix)
    if failed.item():
        return None
    rows: list[Vector] = triangle.tolist()
    return Triangle(rows, [column[::-1] for column in zip(*rows, strict=True)][::-1])


def factorized_rows(rows: list[Vector], added: Vector) -> Triangle | None:
    """The same for a matrix given by its rows and what to add to its diagonal: faster where there are few."""
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
    """Matrix times vector."""
    return [sum(map(mul, row, vector)) for row in rows]

"""Solvers of the small convex problems behind the methods, on a float64 Gram matrix on the CPU.

Every solver verifies the optimality condition of its result, and raises `SolverError` if it does not hold. All loops
are bounded.
"""

from equipoise.balancing.solvers.ball import ball_multipliers
from equipoise.balancing.solvers.bargaining import bargaining_weights
from equipoise.balancing.solvers.gram import (
    Gram,
    Triangle,
    Vector,
    factorized,
    normalized,
    product,
    read_gram,
    stationarity_floor,
    to_tensor,
)
from equipoise.balancing.solvers.simplex import minimum_norm_weights, nonnegative_multipliers, project_to_simplex

__all__ = [
    "Gram",
    "Triangle",
    "Vector",
    "ball_multipliers",
    "bargaining_weights",
    "factorized",
    "minimum_norm_weights",
    "nonnegative_multipliers",
    "normalized",
    "product",
    "project_to_simplex",
    "read_gram",
    "stationarity_floor",
    "to_tensor",
]

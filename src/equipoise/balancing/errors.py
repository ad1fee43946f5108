"""Errors of balancing, besides wrong arguments."""

from collections.abc import Iterable


class SolverError(RuntimeError):
    """A solver did not reach the optimality condition of its problem.

    The solvers raise this instead of returning the last iterate, which would look like a solution.

    Attributes:
        residual: The relative residual of the optimality condition at the best point found.
    """

    def __init__(self, message: str, residual: float) -> None:
        super().__init__(message, residual)
        self.message = message
        self.residual = residual

    def __str__(self) -> str:
        return self.message


class NonFiniteError(ArithmeticError):
    """A loss or a gradient is NaN or infinite.

    Attributes:
        tasks: Names of the affected tasks.
    """

    def __init__(self, message: str, tasks: Iterable[str]) -> None:
        super().__init__(message, tuple(tasks))
        self.message = message
        self.tasks: tuple[str, ...] = tuple(tasks)

    def __str__(self) -> str:
        return self.message

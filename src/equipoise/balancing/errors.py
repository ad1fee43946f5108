"""What can go wrong while balancing, beyond a wrong argument."""

from collections.abc import Iterable


class SolverError(RuntimeError):
    """A solver could not reach its method's optimality condition.

    Raised instead of returning the last iterate, which would look like an answer.

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
        tasks: The names of the tasks concerned.
    """

    def __init__(self, message: str, tasks: Iterable[str]) -> None:
        super().__init__(message, tuple(tasks))
        self.message = message
        self.tasks: tuple[str, ...] = tuple(tasks)

    def __str__(self) -> str:
        return self.message

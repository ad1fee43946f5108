"""The orders in which tasks visit each other, for the methods that go through pairs of tasks."""

from collections.abc import Sequence


def check_order(order: Sequence[Sequence[int]], tasks: int) -> None:
    """Refuse an order that does not give, for each of the tasks, indices of tasks to visit.

    Raises:
        ValueError: If the number of sequences is not the number of tasks, or an index is out of range.
    """
    if len(order) != tasks:
        raise ValueError(
            f"`order` should have one sequence for each of the {tasks} tasks. Found {len(order)} sequences."
        )
    for task, visited in enumerate(order):
        wrong = [other for other in visited if not 0 <= other < tasks]
        if wrong:
            raise ValueError(f"`order[{task}]` should hold indices from 0 to {tasks - 1}. Found {wrong}.")

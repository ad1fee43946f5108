"""Memories with an entry for each task, so that a task missing in a batch keeps its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def gathered(held: Mapping[str, Tensor], tasks: Sequence[str], default: Tensor) -> Tensor:
    """The entries of some tasks in one tensor.

    Args:
        held: An entry by task.
        tasks: T tasks, in the wanted order.
        default: The entry of a task that has none.

    Returns:
        The entries, [T, ...], in the dtype of the default.

    Example:
        >>> gathered({"a": torch.tensor(2.0)}, ["b", "a"], default=torch.tensor(1.0))
        tensor([1., 2.])
    """
    return torch.stack([held.get(task, default).to(default) for task in tasks])


def updated(held: Mapping[str, Tensor], tasks: Sequence[str], entries: Tensor) -> dict[str, Tensor]:
    """The same memory with new entries, [T, ...], for some tasks.

    Example:
        >>> updated({"a": torch.tensor(2.0)}, ["b"], torch.tensor([3.0]))
        {'a': tensor(2.), 'b': tensor(3.)}
    """
    # Copies: a view would keep the entries of all tasks alive, and a checkpoint would hold them once for every task.
    return {**held, **{task: entry.clone() for task, entry in zip(tasks, entries, strict=True)}}


def tracked(held: Mapping[str, Tensor], tasks: Sequence[str], start: Sequence[Tensor]) -> list[Tensor]:
    """What is kept for some tasks, or zeros for tasks that are new.

    Args:
        held: A row, [P], by task.
        tasks: T tasks, in the wanted order.
        start: Zeros, [P], T times, of this step's shape.

    Raises:
        ValueError: This step's gradients have another length than what is kept.
    """
    for task in tasks:
        if task in held and held[task].shape != start[0].shape:
            raise ValueError(
                "`shared` should be the same parameters in every step for a method that keeps their gradients. Found "
                f"{len(start[0])} entries, and {len(held[task])} in the steps before. Pass `features` or `shared` "
                "(without them the shared parameters are found anew for the tasks of each batch), and start a new "
                "balancer after freezing or unfreezing."
            )
    return [held[task].to(zeros) if task in held else zeros for task, zeros in zip(tasks, start, strict=True)]


def tracked_rows(held: Mapping[str, Tensor], tasks: Sequence[str], start: Tensor) -> Tensor:
    """The same as a matrix, [T, P], for zeros of that shape."""
    return torch.stack(tracked(held, tasks, list(start)))

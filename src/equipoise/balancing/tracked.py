"""Averages and sums over the entries of a task's gradient, kept from step to step."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


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

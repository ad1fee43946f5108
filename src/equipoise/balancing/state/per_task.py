"""State with an entry for each task, so that a task that is missing in a batch keeps its entry."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def read_tasks(held: Mapping[str, Tensor], tasks: Sequence[str], default: Tensor) -> Tensor:
    """Stack the entries of some tasks.

    Args:
        held: Entry by task.
        tasks: T tasks, in the wanted order.
        default: Entry of a task that has none yet.

    Returns:
        The entries, [T, ...], in the dtype of the default.

    Example:
        >>> read_tasks({"a": torch.tensor(2.0)}, ["b", "a"], default=torch.tensor(1.0))
        tensor([1., 2.])
    """
    return torch.stack([held.get(task, default).to(default) for task in tasks])


def write_tasks(held: Mapping[str, Tensor], tasks: Sequence[str], entries: Tensor) -> dict[str, Tensor]:
    """Return a copy of the state with new entries, [T, ...], for some tasks.

    Example:
        >>> write_tasks({"a": torch.tensor(2.0)}, ["b"], torch.tensor([3.0]))
        {'a': tensor(2.), 'b': tensor(3.)}
    """
    # Clones: a view would keep the entries of all tasks alive, and a checkpoint would store them once for every task.
    return {**held, **{task: entry.clone() for task, entry in zip(tasks, entries, strict=True)}}


def read_gradients(held: Mapping[str, Tensor], tasks: Sequence[str], start: Sequence[Tensor]) -> list[Tensor]:
    """Return the stored gradients of some tasks, with zeros for new tasks.

    Args:
        held: Gradient, [P], by task.
        tasks: T tasks, in the wanted order.
        start: T tensors of zeros, [P], with this step's shape, dtype and device.

    Raises:
        ValueError: The stored gradients have another length than this step's.
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


def read_gradient_matrix(held: Mapping[str, Tensor], tasks: Sequence[str], start: Tensor) -> Tensor:
    """Return the same as a matrix, [T, P], for `start` of that shape."""
    return torch.stack(read_gradients(held, tasks, list(start)))

"""Random numbers that continue from a checkpoint, the same on every process and device."""

from collections.abc import Callable

import torch
from torch import Tensor

from equipoise.balancing.engine import distributed


def generator_state(seed: int) -> Tensor:
    """Return the state of a fresh random generator, to store in a method's state."""
    return torch.Generator().manual_seed(seed).get_state()


def draw(state: Tensor, sample: Callable[[torch.Generator], Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw random numbers on the CPU. Several processes all take the draw of the first one.

    Args:
        state: State of the generator.
        sample: Function that draws from a generator.
        device: Device of the returned numbers.

    Returns:
        The numbers and the new state of the generator.
    """
    generator = torch.Generator()
    # A checkpoint loaded onto a device moves the state there.
    generator.set_state(state.cpu())
    numbers = sample(generator).to(device)
    distributed.share_(numbers)
    return numbers, generator.get_state()


def random_orders(state: Tensor, tasks: int, device: torch.device) -> tuple[list[list[int]], Tensor]:
    """Return, for each of some tasks, all other tasks in a random order.

    Args:
        state: State of the generator.
        tasks: Number of tasks.
        device: Device of the step.

    Returns:
        The orders and the new state of the generator.

    Example:
        >>> orders, _ = random_orders(generator_state(0), 3, torch.device("cpu"))
        >>> [sorted(order) for order in orders]
        [[1, 2], [0, 2], [0, 1]]
    """
    keys, state = draw(state, lambda generator: torch.rand(tasks, tasks, generator=generator), device)
    ranked = keys.argsort(1).tolist()
    return [[other for other in order if other != task] for task, order in enumerate(ranked)], state

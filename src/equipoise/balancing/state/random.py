"""Random numbers that go on where a checkpoint left them, the same on every process and kind of device."""

from collections.abc import Callable

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.balancing.engine import distributed


def first_state(seed: int) -> Tensor:
    """The state of a generator that nothing has been drawn from, for a method's memory."""
    require(isinstance(seed, int) and seed >= 0, "seed", seed, "be a whole number, zero or more")
    return torch.Generator().manual_seed(seed).get_state()


def draw(state: Tensor, sample: Callable[[torch.Generator], Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw from the processor's generator, and take the first process's draw where several train together.

    Args:
        state: The state of the generator.
        sample: Draws from a generator.
        device: Where the numbers are wanted.

    Returns:
        The numbers and the new state of the generator.
    """
    generator = torch.Generator()
    # A checkpoint that is loaded onto a device takes the state there.
    generator.set_state(state.cpu())
    numbers = sample(generator).to(device)
    distributed.share_(numbers)
    return numbers, generator.get_state()


def random_orders(state: Tensor, tasks: int, device: torch.device) -> tuple[list[list[int]], Tensor]:
    """For each of some tasks, all others in an order of its own.

    Returns:
        The orders and the new state of the generator.

    Example:
        >>> orders, _ = random_orders(first_state(0), 3, torch.device("cpu"))
        >>> [sorted(order) for order in orders]
        [[1, 2], [0, 2], [0, 1]]
    """
    keys, state = draw(state, lambda generator: torch.rand(tasks, tasks, generator=generator), device)
    ranked = keys.argsort(1).tolist()
    return [[other for other in order if other != task] for task, order in enumerate(ranked)], state

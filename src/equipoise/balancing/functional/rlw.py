"""RLW: random loss weights."""

import torch
from torch import Tensor


@torch.no_grad()
def rlw(draws: Tensor) -> Tensor:
    r"""Weights of RLW (Lin et al., TMLR 2022): :math:`w = \mathrm{softmax}(z)`, anew at every step.

    They are positive and sum to 1, so that the expected update is that of the mean loss; some codes multiply by the
    number of tasks.

    Args:
        draws: ``z``, one draw for each task, shape ``[T]``; from the standard normal distribution by default in the
            paper.

    Returns:
        Weights, shape ``[T]``.

    Example:
        >>> import torch
        >>> rlw(torch.tensor([0.0, 0.0]))
        tensor([0.5000, 0.5000])
    """
    return draws.softmax(0)

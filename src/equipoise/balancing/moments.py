"""Adam on tensors that a balancer keeps in its memory."""

from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam


@torch.no_grad()
def adam(
    value: Tensor, gradient: Tensor, moments: dict[str, Any] | None, rate: float, decay: float = 0.0
) -> tuple[Tensor, dict[str, Any]]:
    """One step of `torch.optim.Adam` with its usual moments; nothing is changed in place.

    Args:
        value: What is trained.
        gradient: Of the same shape.
        moments: What the last step returned; none before the first.
        rate: Learning rate.
        decay: Weight decay, added to the gradient (L2).

    Returns:
        The new value and moments.

    Example:
        >>> import torch
        >>> value, moments = adam(torch.ones(2), torch.tensor([1.0, -5.0]), None, 0.1)
        >>> value
        tensor([0.9000, 1.1000])
    """
    old = moments or {"steps": 0.0, "first": torch.zeros_like(value), "second": torch.zeros_like(value)}
    value, first, second = value.clone(), old["first"].clone(), old["second"].clone()
    torch_adam(
        [value],
        [gradient],
        [first],
        [second],
        [],
        [torch.tensor(old["steps"])],
        foreach=False,
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=rate,
        weight_decay=decay,
        eps=1e-8,
        maximize=False,
    )
    return value, {"steps": old["steps"] + 1.0, "first": first, "second": second}

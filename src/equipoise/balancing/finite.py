"""Looking for values that are not finite."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def not_finite(tasks: Sequence[str], values: Tensor) -> tuple[str, ...]:
    """The tasks whose value is NaN or infinite.

    Example:
        >>> not_finite(["a", "b"], torch.tensor([1.0, float("nan")]))
        ('b',)
    """
    return tuple(task for task, finite in zip(tasks, values.isfinite().tolist(), strict=True) if not finite)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every entry of every tensor is finite."""
    tensors = list(tensors)
    # A finite norm proves all entries finite, at a fraction of the time that it takes to look at each one. The norm
    # itself can overflow, so that an infinite one proves nothing.
    if bool(torch.nn.utils.get_total_norm(tensors).isfinite()):
        return True
    return all(bool(tensor.isfinite().all()) for tensor in tensors)

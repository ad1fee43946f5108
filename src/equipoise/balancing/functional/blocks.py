"""Matrices of many columns in parts that stay in a processor's cache from one operation to the next."""

from collections.abc import Iterator

from torch import Tensor

_CACHED_ENTRIES = 1 << 16


def blocks(matrix: Tensor) -> Iterator[slice]:
    """Ranges of the columns of a matrix, [T, D], that cover it: small ones on a processor, else all in one.

    Example:
        >>> import torch
        >>> list(blocks(torch.zeros(2, 100)))
        [slice(0, 100, None)]
    """
    tasks, size = matrix.shape
    step = max(_CACHED_ENTRIES // tasks, 1) if matrix.device.type == "cpu" else max(size, 1)
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))

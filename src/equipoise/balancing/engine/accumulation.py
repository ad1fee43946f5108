"""Tell gradient accumulation from a new step."""

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor


class AccumulationWatch:
    """Tells whether `.grad` is as the last backward pass left it.

    If it is, the caller accumulates gradients. If not, `zero_grad` has removed or overwritten it since.
    """

    def __init__(self) -> None:
        self._leaf: weakref.ref[Tensor] | None = None
        self._grad, self._version = 0, 0

    def note(self, leaves: Iterable[Tensor]) -> None:
        """Remember the `.grad` of the first of some leaves, right after a backward pass."""
        leaf = next((leaf for leaf in leaves if leaf.grad is not None), None)
        self._leaf = None if leaf is None else weakref.ref(leaf)
        if leaf is not None and leaf.grad is not None:
            self._grad, self._version = id(leaf.grad), leaf.grad._version

    def accumulating(self) -> bool:
        """Whether that `.grad` is untouched."""
        leaf = None if self._leaf is None else self._leaf()
        grad = None if leaf is None else leaf.grad
        return grad is not None and id(grad) == self._grad and grad._version == self._version

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles of a balancer start anew, because their parameters are other objects.
        return AccumulationWatch, ()

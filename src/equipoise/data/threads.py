"""Work that is shared out among threads."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def threaded(work: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
    """Do something with every item in several threads; the results come in order, and few wait to be taken.

    Decoders of images let other threads work meanwhile.
    """
    threads = min(8, os.cpu_count() or 1)
    remaining = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        while window := list(islice(remaining, 16 * threads)):
            yield from pool.map(work, window)

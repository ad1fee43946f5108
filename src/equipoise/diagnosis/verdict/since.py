"""From which step on something has been so."""

from collections.abc import Callable, Sequence

import numpy as np

from equipoise.diagnosis.verdict import shares
from equipoise.diagnosis.verdict.measures import Measures, quiet

HELD = 0.9
"""The part of the blocks to the end in which it must be so: a single odd block starts nothing anew."""


def share_since(measures: Measures, holds: Callable[[np.ndarray], bool]) -> int | None:
    """Since when the shares of the update are so, by blocks of steps.

    Args:
        measures: Of the run.
        holds: Tells from the shares of a block, [T].
    """
    own = shares.actual(measures.all)
    return _first(measures, [bool(holds(own.mean(block))) for block in measures.blocks()])


def cosine_since(measures: Measures, pairs: Sequence[tuple[int, int]], holds: Callable[[float], bool]) -> int | None:
    """Since when the cosines of all of some pairs of tasks are so, by blocks of steps.

    Args:
        measures: Of the run.
        pairs: Of tasks, by place.
        holds: Tells from the mean cosine of a block.
    """
    blocks = [quiet(np.nanmean, measures.all.cosines[block]) for block in measures.blocks()]
    return _first(measures, [all(holds(block[pair]) for pair in pairs) for block in blocks])


def _first(measures: Measures, holds: list[bool]) -> int | None:
    for place, block in enumerate(measures.blocks()):
        if holds[place] and np.mean(holds[place:]) >= HELD:
            return int(measures.all.steps[block.start])
    return None

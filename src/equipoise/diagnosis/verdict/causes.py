"""Why a task is starved, dominates or makes noise: the change to the weights or gradients that ends it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from equipoise.diagnosis.verdict import shares
from equipoise.diagnosis.verdict.evidence import fair_shares
from equipoise.diagnosis.verdict.measures import Measures
from equipoise.diagnosis.verdict.schema import Cause


class Without(NamedTuple):
    """The update as it would be without a cause: the share of every task, and what would be fair, [T]."""

    share: np.ndarray
    fair: np.ndarray


def without_causes(measures: Measures, noisy: Sequence[int], groups: Sequence[Sequence[int]]) -> dict[Cause, Without]:
    """The update without each of the causes, the more specific ones first.

    - `weights`: all weights are one, as in the plain sum of the losses
    - `method`: the same of a method without weights, whose update is no weighted sum
    - `noise`: noisy tasks are left out
    - `duplicates`: copies of a task count once
    - `norms`: all contributions get the same norm, as by AvgNorm
    - `conflict`: all gradients are orthogonal to each other.

    Args:
        measures: Of the run.
        noisy: The tasks that are noise.
        groups: The tasks that are copies of each other.
    """
    judged = measures.judged
    weights = np.nan_to_num(judged.weights)
    plain = Without(shares.under(judged, np.ones(len(judged.tasks))).mean(), measures.fair)
    found: dict[Cause, Without] = {"weights" if judged.weighted else "method": plain}
    if noisy:
        kept = np.ones(len(judged.tasks), dtype=bool)
        kept[list(noisy)] = False
        found["noise"] = Without(shares.under(judged, weights * kept).mean(), fair_shares(judged.present & kept))
    if groups:
        once = weights / copies(len(judged.tasks), groups)
        found["duplicates"] = Without(shares.under(judged, once).mean(), measures.fair)
    found["norms"] = Without(shares.under(judged, shares.equal_norms(judged)).mean(), measures.fair)
    found["conflict"] = Without(shares.under(judged, weights, orthogonal=True).mean(), measures.fair)
    return found


def find_cause(
    changed: Mapping[Cause, Without], task: int, holds: Callable[[float, float], bool], conflicting: bool
) -> Cause:
    """The first cause without which it is so no more; `norms and conflict` where none ends it alone.

    Args:
        changed: From `without_causes`. A share that is not finite, as of an update of zero, ends nothing.
        task: Which, by place.
        holds: Tells from the task's share and its fair share whether it is so.
        conflicting: Whether the task is known to conflict with another: then it is never norms alone, and the method or
            its weights only where it is so without the conflict too, as of an update that is next to nothing equal
            norms and plain sums own any part, and mend nothing.
    """
    ended: list[Cause] = [
        cause
        for cause, without in changed.items()
        if np.isfinite(without.share[task]) and not holds(without.share[task], without.fair[task])
    ]
    if conflicting:
        ended = [cause for cause in ("conflict", "weights", "method") if cause in ended]
    return ended[0] if ended else "norms and conflict"


def copies(count: int, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """How many tasks are copies of each of `count` tasks, itself included, [T]."""
    found = np.ones(count)
    for group in groups:
        found[list(group)] = len(group)
    return found

"""Why a task is starved or dominates: the change to the recorded gradients that ends it."""

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

    - `noise`: noisy tasks are left out
    - `duplicates`: copies of a task count once
    - `norms`: all gradients get the same norm, as by AvgNorm
    - `conflict`: all gradients are orthogonal to each other.

    Args:
        measures: Of the run.
        noisy: The tasks that are noise.
        groups: The tasks that are copies of each other.
    """
    judged = measures.judged
    weights = np.nan_to_num(judged.weights)
    found: dict[Cause, Without] = {}
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
    changed: Mapping[Cause, Without], holds: Callable[[np.ndarray, np.ndarray], bool], conflicting: bool
) -> Cause:
    """The first cause without which it is so no more; `norms and conflict` where none ends it alone.

    Args:
        changed: From `without_causes`.
        holds: Tells from shares and fair shares, [T] each, whether it is so.
        conflicting: Whether the task is known to conflict with another: then it is never norms alone, as of an update
            that is next to nothing equal norms own equal parts, and mend nothing.
    """
    ended: list[Cause] = [cause for cause, without in changed.items() if not holds(*without)]
    if conflicting:
        ended = ["conflict"] if "conflict" in ended else []
    return ended[0] if ended else "norms and conflict"


def copies(count: int, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """How many tasks are copies of each of `count` tasks, itself included, [T]."""
    found = np.ones(count)
    for group in groups:
        found[list(group)] = len(group)
    return found

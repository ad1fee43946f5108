"""From numbers to findings: each is made where it is sure enough."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from equipoise.diagnosis.verdict import words
from equipoise.diagnosis.verdict.measures import (
    Measures,
    actual_shares,
    equal_norm_weights,
    fair_shares,
    quiet,
    shares_under,
)
from equipoise.diagnosis.verdict.schema import Cause, Finding, Kind
from equipoise.diagnosis.verdict.thresholds import (
    CONFLICT_COSINE,
    DUPLICATE_COSINE,
    LIKELY,
    NOISE_COHERENCE,
    NOISE_FALL,
    STARVED,
    SURE,
    dominance,
    noisy_share,
)


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
    plain = Without(shares_under(judged, np.ones(len(judged.tasks))).mean(), measures.fair)
    found: dict[Cause, Without] = {"weights" if judged.weighted else "method": plain}
    if noisy:
        kept = np.ones(len(judged.tasks), dtype=bool)
        kept[list(noisy)] = False
        found["noise"] = Without(shares_under(judged, weights * kept).mean(), fair_shares(judged.present & kept))
    if groups:
        once = weights / copies(len(judged.tasks), groups)
        found["duplicates"] = Without(shares_under(judged, once).mean(), measures.fair)
    found["norms"] = Without(shares_under(judged, equal_norm_weights(judged)).mean(), measures.fair)
    found["conflict"] = Without(shares_under(judged, weights, orthogonal=True).mean(), measures.fair)
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


HELD = 0.9
"""The part of the blocks to the end in which it must be so: a single odd block starts nothing anew."""


def share_since(measures: Measures, holds: Callable[[np.ndarray], bool]) -> int | None:
    """Since when the shares of the update are so, by blocks of steps.

    Args:
        measures: Of the run.
        holds: Tells from the shares of a block, [T].
    """
    own = actual_shares(measures.all)
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


Holds = Callable[[float, float], bool]
"""Tells from a task's share and its fair share whether something is so."""


class Findings:
    """Everything that is found in some measures.

    Attributes:
        found: What is sure, those of the main cause first.
        doubts: What is more likely so than not, in words.
        clear: How sure it is that nothing else is so.
        groups: The tasks that are copies of each other, by place.
        untold: The tasks whose share cannot be told, as they have hardly a gradient.
    """

    def __init__(self, measures: Measures) -> None:
        self._measures, self._tasks = measures, measures.all.tasks
        self._cancelling: set[int] = set()
        self.doubts: list[str] = []
        self.clear = 1.0
        conflicts = list(self._detect_conflicts())
        alike, self.groups = self._detect_duplicates()
        noise = self._noise()
        self._changed = without_causes(measures, np.flatnonzero(noise >= LIKELY).tolist(), self.groups)
        noisy = list(self._detect_noise(noise))
        starved, dominating = list(self._detect_starved()), list(self._detect_dominating())
        self.untold = tuple(self._detect_untold())
        # What is done to tasks weighs more than what could do something to them.
        gravest = [*starved, *dominating, *conflicts, *alike, *noisy]
        self.cause: Cause | None = gravest[0].cause if gravest else None
        roots_first = [*noisy, *alike, *conflicts, *starved, *dominating]
        self.found = sorted(roots_first, key=lambda finding: finding.cause != self.cause)

    @property
    def weights_help(self) -> bool:
        """Whether some of it ends with other static weights."""
        tasks = {task for place, task in enumerate(self._tasks) if place not in self._cancelling}
        return any(
            finding.cause in ("weights", "method", "norms", "duplicates") and tasks.issuperset(finding.tasks)
            for finding in self.found
        )

    def _noise(self) -> np.ndarray:
        """How sure it is of each task that it is noise, [T]."""
        m = self._measures
        conditions = (
            m.share.above(noisy_share(m.fair)),
            m.coherence.below(NOISE_COHERENCE),
            m.left.above(1 - NOISE_FALL),
            # Where the other tasks lead nowhere either, it is not this one's labels.
            np.maximum(m.steadier.above(0.0), m.behind.above(0.0)),
        )
        certainties = np.min(conditions, axis=0)
        # A task that another undoes learns nothing, whatever its labels.
        certainties[list(self._cancelling)] = 0.0
        return certainties

    def _detect_noise(self, certainties: np.ndarray) -> Iterator[Finding]:
        m = self._measures
        for i, certainty in enumerate(certainties):
            if self._is_sure(certainty, words.may_be_noise(self._tasks[i])):
                numbers = {
                    "coherence": m.coherence.value[i],
                    "fall": 1 - m.left.value[i],
                    "others_fall": 1 - m.left_of_others[i],
                }
                yield self._owning("noise", i, certainty, numbers, lambda share, fair: share > noisy_share(fair))

    def _detect_duplicates(self) -> tuple[list[Finding], list[tuple[int, ...]]]:
        m = self._measures
        same = np.nan_to_num(m.cosine.above(DUPLICATE_COSINE))
        for i, j in self._pairs():
            self._is_sure(same[i, j], words.may_be_copies(self._tasks[i], self._tasks[j], m.cosine.value[i, j]))
        parts = _alike(same >= SURE)
        # Where all are copies of one, none is at another's cost.
        groups = [group for group in parts if len(group) > 1] if len(parts) > 1 else []
        found = []
        for group in groups:
            pairs = list(itertools.combinations(group, 2))
            numbers = {"cosine": np.mean([m.cosine.value[pair] for pair in pairs]), **self._shares(group)}
            since = cosine_since(m, pairs, lambda cosine: cosine > DUPLICATE_COSINE)
            certainty = min(same[pair] for pair in pairs)
            numbers["fair"] = 1 / len(parts)
            found.append(self._finding("duplicates", group, "duplicates", since, certainty, numbers))
        return found, groups

    def _detect_conflicts(self) -> Iterator[Finding]:
        m = self._measures
        against = m.cosine.below(CONFLICT_COSINE)
        for i, j in self._pairs():
            doubt = words.may_conflict(self._tasks[i], self._tasks[j], m.cosine.value[i, j])
            if self._is_sure(against[i, j], doubt):
                self._cancelling |= {i, j}
                since = cosine_since(m, [(i, j)], lambda cosine: cosine < CONFLICT_COSINE)
                numbers = {"cosine": m.cosine.value[i, j], "survives": m.survives, "orthogonal": m.survives_orthogonal}
                yield self._finding("conflict", (i, j), "conflict", since, against[i, j], numbers)

    def _detect_starved(self) -> Iterator[Finding]:
        m = self._measures
        below = m.share.below(STARVED * m.fair)
        largest = int(np.nan_to_num(m.contribution).argmax())
        for i in map(int, np.argsort(m.share.value / m.fair)):
            if self._is_sure(below[i], words.may_starve(self._tasks[i], m.share.value[i], m.fair[i]), i):
                numbers = {"shorter": m.contribution[largest] / m.contribution[i]} if i != largest else {}
                numbers["cosine"] = quiet(np.nanmean, np.delete(m.cosine.value[i], i))
                yield self._owning("starved", i, below[i], numbers, lambda share, fair: share < STARVED * fair, largest)

    def _detect_dominating(self) -> Iterator[Finding]:
        m = self._measures
        above = m.share.above(dominance(m.fair))
        for i, task in enumerate(self._tasks):
            if self._is_sure(above[i], words.may_dominate(task, m.share.value[i], m.fair[i]), i):
                numbers = {"longer": m.contribution[i]}
                yield self._owning("dominating", i, above[i], numbers, lambda share, fair: share > dominance(fair))

    def _detect_untold(self) -> Iterator[str]:
        # No error can be told of a share that rests on a single block, or on none.
        for i in np.flatnonzero(np.isnan(self._measures.share.error)).tolist():
            seen = np.flatnonzero(self._measures.all.present[:, i])
            if len(seen) and not self._measures.judged.present[:, i].any():
                self.doubts.append(words.silent(self._tasks[i], int(self._measures.all.steps[seen[-1] + 1])))
            yield self._tasks[i]

    def _owning(
        self, kind: Kind, i: int, certainty: float, numbers: dict[str, float], holds: Holds, largest: int | None = None
    ) -> Finding:
        m = self._measures
        since = share_since(m, lambda share: holds(share[i], m.fair[i]))
        cause = find_cause(self._changed, i, holds, i in self._cancelling)
        weights = {"weight": m.weight[i], "others_weight": float(quiet(np.nanmedian, np.delete(m.weight, i)))}
        numbers |= weights | self._shares((i,))
        if cause in self._changed:
            numbers["without_cause"] = self._changed[cause].share[i]
        return self._finding(kind, (i,), cause, since, certainty, numbers, largest)

    def _shares(self, places: Sequence[int]) -> dict[str, float]:
        m, chosen = self._measures, list(places)
        return {"share": float(np.nansum(m.share.value[chosen])), "fair": float(m.fair[chosen].sum())}

    def _pairs(self) -> Iterator[tuple[int, int]]:
        yield from zip(*map(np.ndarray.tolist, np.triu_indices(len(self._tasks), 1)), strict=True)

    def _is_sure(self, certainty: float, doubt: str, task: int | None = None) -> bool:
        # Shares of an update that is next to nothing vary without end: the conflict is the finding.
        if certainty < SURE and task not in self._cancelling:
            self.clear = min(self.clear, 1 - float(certainty))
            if certainty >= LIKELY:
                self.doubts.append(doubt)
        return bool(certainty >= SURE)

    def _finding(
        self,
        kind: Kind,
        places: Sequence[int],
        cause: Cause,
        since: int | None,
        certainty: float,
        numbers: dict[str, float],
        largest: int | None = None,
    ) -> Finding:
        finding = Finding(
            kind=kind,
            tasks=tuple(self._tasks[place] for place in places),
            cause=cause,
            since=since,
            certainty=float(certainty),
            numbers={name: float(number) for name, number in numbers.items() if np.isfinite(number)},
        )
        start = since == int(self._measures.all.steps[0])
        longest = None if largest is None else self._tasks[largest]
        return finding.model_copy(update={"text": words.sentence(finding, longest, start)})


def _alike(linked: np.ndarray) -> list[tuple[int, ...]]:
    """Tasks in groups, in which each is linked with all others."""
    groups: list[list[int]] = []
    for place, links in enumerate(linked):
        home = next((group for group in groups if links[group].all()), None)
        if home is None:
            groups.append([place])
        else:
            home.append(place)
    return [tuple(group) for group in groups]

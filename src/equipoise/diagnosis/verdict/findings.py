"""Findings: which tasks are starved, dominate, conflict, are duplicates or noisy, since when, and why.

A finding is made if it is at least `SURE`, by Student's distribution over blocks of steps (`measures.Blocks`).
"""

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
    nan_safe,
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

Holds = Callable[[float, float], bool]
"""Decides from a task's share and its fair share whether a finding holds."""


class Findings:
    """Everything that is out of balance.

    Args:
        measures: The numbers of the run.

    Attributes:
        found: The findings that are sure, those of the main cause first.
        cause: The main cause; none without findings.
        unconfirmed: What is more likely true than not, but not sure, in words.
        balance_certainty: The certainty that there is no further finding.
        groups: The groups of tasks that are copies of each other, by index.
        unmeasured: The tasks whose share cannot be measured, because they have too few gradients.
    """

    def __init__(self, measures: Measures) -> None:
        self._measures, self._tasks = measures, measures.all.tasks
        self._conflicting: set[int] = set()
        self.unconfirmed: list[str] = []
        self.balance_certainty = 1.0
        conflicts = list(self._find_conflicts())
        duplicates, self.groups = self._find_duplicates()
        noise = self._noise_certainties()
        self._changed = without_causes(measures, np.flatnonzero(noise >= LIKELY).tolist(), self.groups)
        noisy = list(self._find_noisy(noise))
        starved, dominating = list(self._find_starved()), list(self._find_dominating())
        self.unmeasured = tuple(self._find_unmeasured())
        # A starved or dominating task is an effect. It matters more than what could have such an effect.
        by_gravity = [*starved, *dominating, *conflicts, *duplicates, *noisy]
        self.cause: Cause | None = by_gravity[0].cause if by_gravity else None
        causes_first = [*noisy, *duplicates, *conflicts, *starved, *dominating]
        self.found = sorted(causes_first, key=lambda finding: finding.cause != self.cause)

    @property
    def weights_help(self) -> bool:
        """Whether other static weights would end some of the findings."""
        tasks = {task for index, task in enumerate(self._tasks) if index not in self._conflicting}
        return any(
            finding.cause in ("weights", "method", "norms", "duplicates") and tasks.issuperset(finding.tasks)
            for finding in self.found
        )

    def _find_starved(self) -> Iterator[Finding]:
        """Find the tasks whose share of the update is below `STARVED` times their fair share."""
        m = self._measures
        certainties = m.share.below(STARVED * m.fair)
        longest = int(np.nan_to_num(m.contribution).argmax())
        for i in map(int, np.argsort(m.share.value / m.fair)):
            if self._is_sure(certainties[i], words.may_starve(self._tasks[i], m.share.value[i], m.fair[i]), i):
                numbers = {"shorter": m.contribution[longest] / m.contribution[i]} if i != longest else {}
                numbers["cosine"] = nan_safe(np.nanmean, np.delete(m.cosine.value[i], i))
                yield self._share_finding(
                    "starved", i, certainties[i], numbers, lambda share, fair: share < STARVED * fair, longest
                )

    def _find_dominating(self) -> Iterator[Finding]:
        """Find the tasks whose share of the update is above `dominance`."""
        m = self._measures
        certainties = m.share.above(dominance(m.fair))
        for i, task in enumerate(self._tasks):
            if self._is_sure(certainties[i], words.may_dominate(task, m.share.value[i], m.fair[i]), i):
                numbers = {"longer": m.contribution[i]}
                yield self._share_finding(
                    "dominating", i, certainties[i], numbers, lambda share, fair: share > dominance(fair)
                )

    def _find_conflicts(self) -> Iterator[Finding]:
        """Find the pairs of tasks whose mean cosine is below `CONFLICT_COSINE`."""
        m = self._measures
        certainties = m.cosine.below(CONFLICT_COSINE)
        for i, j in self._pairs():
            unconfirmed = words.may_conflict(self._tasks[i], self._tasks[j], m.cosine.value[i, j])
            if self._is_sure(certainties[i, j], unconfirmed):
                self._conflicting |= {i, j}
                since = cosine_since(m, [(i, j)], lambda cosine: cosine < CONFLICT_COSINE)
                numbers = {"cosine": m.cosine.value[i, j], "survives": m.survives, "orthogonal": m.survives_orthogonal}
                yield self._finding("conflict", (i, j), "conflict", since, certainties[i, j], numbers)

    def _find_duplicates(self) -> tuple[list[Finding], list[tuple[int, ...]]]:
        """Find the groups of tasks in which every mean cosine is above `DUPLICATE_COSINE`."""
        m = self._measures
        certainties = np.nan_to_num(m.cosine.above(DUPLICATE_COSINE))
        for i, j in self._pairs():
            self._is_sure(certainties[i, j], words.may_be_copies(self._tasks[i], self._tasks[j], m.cosine.value[i, j]))
        parts = _cliques(certainties >= SURE)
        # If all tasks are copies of one, none takes the share of another.
        groups = [group for group in parts if len(group) > 1] if len(parts) > 1 else []
        findings = []
        for group in groups:
            pairs = list(itertools.combinations(group, 2))
            numbers = {"cosine": np.mean([m.cosine.value[pair] for pair in pairs]), **self._shares(group)}
            numbers["fair"] = 1 / len(parts)
            since = cosine_since(m, pairs, lambda cosine: cosine > DUPLICATE_COSINE)
            certainty = min(certainties[pair] for pair in pairs)
            findings.append(self._finding("duplicates", group, "duplicates", since, certainty, numbers))
        return findings, groups

    def _noise_certainties(self) -> np.ndarray:
        """Return for each task the certainty that it is noisy, [T]: that of its least certain condition."""
        m = self._measures
        conditions = (
            m.share.above(noisy_share(m.fair)),
            m.coherence.below(NOISE_COHERENCE),
            m.loss_left.above(1 - NOISE_FALL),
            # If the other tasks do not learn either, the labels of this one are not the reason.
            np.maximum(m.coherence_gap.above(0.0), m.learning_lag.above(0.0)),
        )
        certainties = np.min(conditions, axis=0)
        # A task that another one cancels learns nothing, whatever its labels.
        certainties[list(self._conflicting)] = 0.0
        return certainties

    def _find_noisy(self, certainties: np.ndarray) -> Iterator[Finding]:
        """Find the tasks that take more than `noisy_share` and hardly learn."""
        m = self._measures
        for i, certainty in enumerate(certainties):
            if self._is_sure(certainty, words.may_be_noise(self._tasks[i])):
                numbers = {
                    "coherence": m.coherence.value[i],
                    "fall": 1 - m.loss_left.value[i],
                    "others_fall": 1 - m.loss_left_of_others[i],
                }
                yield self._share_finding("noise", i, certainty, numbers, lambda share, fair: share > noisy_share(fair))

    def _find_unmeasured(self) -> Iterator[str]:
        # A share that rests on one block, or on none, has no standard error.
        for i in np.flatnonzero(np.isnan(self._measures.share.error)).tolist():
            seen = np.flatnonzero(self._measures.all.present[:, i])
            if len(seen) and not self._measures.analysed.present[:, i].any():
                step = int(self._measures.all.steps[seen[-1] + 1])
                self.unconfirmed.append(words.no_gradient_since(self._tasks[i], step))
            yield self._tasks[i]

    def _share_finding(
        self, kind: Kind, i: int, certainty: float, numbers: dict[str, float], holds: Holds, longest: int | None = None
    ) -> Finding:
        """Return a finding about the share of one task, with its cause."""
        m = self._measures
        since = share_since(m, lambda share: holds(share[i], m.fair[i]))
        cause = find_cause(self._changed, i, holds, i in self._conflicting)
        weights = {"weight": m.weight[i], "others_weight": float(nan_safe(np.nanmedian, np.delete(m.weight, i)))}
        numbers |= weights | self._shares((i,))
        if cause in self._changed:
            numbers["without_cause"] = self._changed[cause].share[i]
        return self._finding(kind, (i,), cause, since, certainty, numbers, longest)

    def _finding(
        self,
        kind: Kind,
        indices: Sequence[int],
        cause: Cause,
        since: int | None,
        certainty: float,
        numbers: dict[str, float],
        longest: int | None = None,
    ) -> Finding:
        finding = Finding(
            kind=kind,
            tasks=tuple(self._tasks[index] for index in indices),
            cause=cause,
            since=since,
            certainty=float(certainty),
            numbers={name: float(number) for name, number in numbers.items() if np.isfinite(number)},
        )
        from_the_start = since == int(self._measures.all.steps[0])
        longest_task = None if longest is None else self._tasks[longest]
        return finding.model_copy(update={"text": words.finding_text(finding, longest_task, from_the_start)})

    def _shares(self, indices: Sequence[int]) -> dict[str, float]:
        m, chosen = self._measures, list(indices)
        return {"share": float(np.nansum(m.share.value[chosen])), "fair": float(m.fair[chosen].sum())}

    def _pairs(self) -> Iterator[tuple[int, int]]:
        yield from itertools.combinations(range(len(self._tasks)), 2)

    def _is_sure(self, certainty: float, unconfirmed: str, task: int | None = None) -> bool:
        """Return whether a finding is sure; if it is only likely, add its sentence to `unconfirmed`."""
        # If tasks cancel out, shares vary without bound: then the conflict is the finding.
        if certainty < SURE and task not in self._conflicting:
            self.balance_certainty = min(self.balance_certainty, 1 - float(certainty))
            if certainty >= LIKELY:
                self.unconfirmed.append(unconfirmed)
        return bool(certainty >= SURE)


def _cliques(linked: np.ndarray) -> list[tuple[int, ...]]:
    """Divide tasks into groups, in each of which every task is linked with all others."""
    groups: list[list[int]] = []
    for index, links in enumerate(linked):
        home = next((group for group in groups if links[group].all()), None)
        if home is None:
            groups.append([index])
        else:
            home.append(index)
    return [tuple(group) for group in groups]


# Causes


class Without(NamedTuple):
    """The update without a cause: the share and the fair share of every task, [T]."""

    share: np.ndarray
    fair: np.ndarray


def without_causes(measures: Measures, noisy: Sequence[int], groups: Sequence[Sequence[int]]) -> dict[Cause, Without]:
    """Return the update without each of the causes, the more specific causes first.

    - `weights`: all weights are 1, as in the plain sum of the losses
    - `method`: the same, for a method without weights, whose update is no weighted sum
    - `noise`: noisy tasks are left out
    - `duplicates`: copies of a task count once
    - `norms`: all contributions have the same norm, as with AvgNorm
    - `conflict`: all gradients are orthogonal.

    Args:
        measures: The numbers of the run.
        noisy: The noisy tasks, by index.
        groups: The groups of tasks that are copies of each other, by index.
    """
    records = measures.analysed
    weights = np.nan_to_num(records.weights)
    plain = Without(shares_under(records, np.ones(len(records.tasks))).mean(), measures.fair)
    changed: dict[Cause, Without] = {"weights" if records.weighted else "method": plain}
    if noisy:
        others = np.ones(len(records.tasks), dtype=bool)
        others[list(noisy)] = False
        changed["noise"] = Without(
            shares_under(records, weights * others).mean(), fair_shares(records.present & others)
        )
    if groups:
        once = weights / copies(len(records.tasks), groups)
        changed["duplicates"] = Without(shares_under(records, once).mean(), measures.fair)
    changed["norms"] = Without(shares_under(records, equal_norm_weights(records)).mean(), measures.fair)
    changed["conflict"] = Without(shares_under(records, weights, orthogonal=True).mean(), measures.fair)
    return changed


def find_cause(changed: Mapping[Cause, Without], task: int, holds: Holds, conflicting: bool) -> Cause:
    """Return the first cause without which a finding does not hold; `norms and conflict` if there is none.

    Args:
        changed: From `without_causes`. A share that is not finite, as of an update of zero, ends no finding.
        task: The index of the task.
        holds: Decides from the share and the fair share whether the finding holds.
        conflicting: Whether the task conflicts with another one. Then the cause is the conflict if its end is enough,
            else the weights or the method, but never norms alone: when gradients cancel, shares are arbitrary, and
            norms are not blamed.
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
    """Return how many copies each task has, itself included, [T].

    Args:
        count: The number T of tasks.
        groups: The groups of tasks that are copies of each other, by index.
    """
    numbers = np.ones(count)
    for group in groups:
        numbers[list(group)] = len(group)
    return numbers


# Since when

_MOST_BLOCKS = 0.9
"""A finding holds since a block if it holds in this part of the blocks from there on: a single block may differ."""


def share_since(measures: Measures, holds: Callable[[np.ndarray], bool]) -> int | None:
    """Return the step since which a finding about shares holds, by blocks of steps; none if it comes and goes.

    Args:
        measures: The numbers of the run.
        holds: Decides from the shares in a block, [T], whether the finding holds.
    """
    own = actual_shares(measures.all)
    return _since(measures, [bool(holds(own.mean(block))) for block in measures.blocks()])


def cosine_since(measures: Measures, pairs: Sequence[tuple[int, int]], holds: Callable[[float], bool]) -> int | None:
    """Return the step since which a finding about cosines holds, by blocks of steps; none if it comes and goes.

    Args:
        measures: The numbers of the run.
        pairs: Pairs of tasks, by index. The finding must hold for all of them.
        holds: Decides from the mean cosine in a block whether the finding holds.
    """
    blocks = [nan_safe(np.nanmean, measures.all.cosines[block]) for block in measures.blocks()]
    return _since(measures, [all(holds(block[pair]) for pair in pairs) for block in blocks])


def _since(measures: Measures, holds: list[bool]) -> int | None:
    for index, block in enumerate(measures.blocks()):
        if holds[index] and np.mean(holds[index:]) >= _MOST_BLOCKS:
            return int(measures.all.steps[block.start])
    return None

"""Whose every leaf of a step is: shared, a task's own, or between tasks; and where the graph is cut."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from equipoise.balancing.graph import edge, upstream


class Partition(NamedTuple):
    """The leaves of a step.

    Attributes:
        features: Where the step is cut; empty if it is not.
        shared: The leaves that count as shared.
        between: The leaves that several tasks use and that receive the plain sum.
        heads: For each task the leaves that are its own.
        trunk: The leaves that the features were computed from; empty without a cut.
        reached: For each task the leaves that it reaches without passing through a feature.
        disjoint: Whether no two heads have a node in common, so that each can free its part of the graph at once.
    """

    features: list[Tensor]
    shared: list[Tensor]
    between: list[Tensor]
    heads: list[list[Tensor]]
    trunk: list[Tensor]
    reached: list[list[Tensor]]
    disjoint: bool


def partition(
    losses: Sequence[Tensor], features: Sequence[Tensor], shared: Iterable[Tensor], summed: bool
) -> Partition:
    """Find out which leaves are whose.

    Args:
        losses: One a task, each with a graph.
        features: The tensors that the heads read, or none.
        shared: Parameters to count as shared besides those found from the features; without features, instead of those
            found.
        summed: Whether parameters that several tasks use behind the features receive the plain sum of the task
            gradients. Otherwise they count as shared.

    Raises:
        ValueError: The losses depend on the trunk, but not through the features.
    """
    cut = {edge(feature): feature for feature in features if feature.requires_grad}
    trunk = upstream(cut.values(), frozenset(cut))
    reaches = [upstream([loss], frozenset(cut)) for loss in losses]
    bypassed = any(not reach.leaves.keys().isdisjoint(trunk.leaves) for reach in reaches)
    if bypassed and not any(reach.stopped_at for reach in reaches):
        raise ValueError(
            "`features` should be the tensors that the task heads read. Found none that a loss was computed "
            "from. Under DistributedDataParallel with `find_unused_parameters` the outputs are copies: pass "
            "`shared=encoder.parameters()` and no features."
        )
    if bypassed or trunk.stopped_at:
        # What reaches the trunk by two ways, or through two features, would be counted twice.
        cut = {}
        reaches = [upstream([loss]) for loss in losses]

    times_met: dict[Tensor, int] = {}
    for reach in reaches:
        for leaf in reach.leaves:
            times_met[leaf] = times_met.get(leaf, 0) + 1
    given = {leaf: None for leaf in shared if leaf in times_met}
    several = {leaf: None for leaf, times in times_met.items() if times > 1}
    if features:
        chosen = trunk.leaves | ({} if summed else several) | given
    else:
        chosen = given or (times_met if len(losses) == 1 else several)
    between = [leaf for leaf in several if leaf not in chosen] if summed else []
    apart = {*chosen, *between}
    nodes = set().union(*(reach.nodes for reach in reaches))
    return Partition(
        features=list(cut.values()),
        shared=list(chosen),
        between=between,
        heads=[[leaf for leaf in reach.leaves if leaf not in apart] for reach in reaches],
        trunk=list(trunk.leaves) if cut else [],
        reached=[list(reach.leaves) for reach in reaches],
        disjoint=sum(len(reach.nodes) for reach in reaches) == len(nodes),
    )

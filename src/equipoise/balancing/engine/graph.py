"""Read the autograd graph without running it, and hand finished gradients to its leaves."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge


class Reach(NamedTuple):
    """The part of the graph upstream of some tensors.

    Attributes:
        leaves: Leaves that require a gradient, in the order in which the walk met them.
        nodes: Autograd nodes on the way, without the nodes of the leaves.
        stopped_at: Edges of `stop` that the walk met.
    """

    leaves: dict[Tensor, None]
    nodes: set[Any]
    stopped_at: set[tuple[Any, int]]


def edge(tensor: Tensor) -> tuple[Any, int]:
    """Return where the gradient of a tensor enters the graph: a node, and the number of its output."""
    found = get_gradient_edge(tensor)
    return found.node, found.output_nr


def upstream(tensors: Iterable[Tensor], stop: frozenset[tuple[Any, int]] = frozenset()) -> Reach:
    """Walk from tensors towards the leaves they were computed from.

    Args:
        tensors: Tensors that require a gradient. The walk starts at them even if they are in `stop`.
        stop: Edges (see `edge`) at which the walk turns back.

    Returns:
        Leaves, nodes and stops that the walk met.
    """
    leaves: dict[Tensor, None] = {}
    seen: set[Any] = set()
    nodes: set[Any] = set()
    stopped_at: set[tuple[Any, int]] = set()
    waiting = [edge(tensor)[0] for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        following = node.next_functions
        # Only the node of a leaf has a variable and nothing upstream. A user's function may have an attribute of that
        # name, too.
        leaf = None if following else getattr(node, "variable", None)
        if leaf is not None:
            leaves[leaf] = None
            continue
        nodes.add(node)
        for parent, output in reversed(following):
            if parent is None or parent in seen:
                continue
            if (parent, output) in stop:
                stopped_at.add((parent, output))
            else:
                waiting.append(parent)
    return Reach(leaves, nodes, stopped_at)


@contextmanager
def hooks_disabled(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Disable the hooks that `Tensor.register_hook` put on tensors.

    A hook on a parameter should fire once, on the gradient that arrives in `.grad`. It must not fire on each task's
    gradient as well, since it may clip or scale.
    """
    held = [(hooks, dict(hooks)) for tensor in tensors if (hooks := tensor._backward_hooks)]
    for hooks, _ in held:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, kept in held:
            hooks.update(kept)


def accumulate_grad(gradients: dict[Tensor, Tensor]) -> None:
    """Accumulate gradients into `.grad`, as the end of a `backward()` call does, and empty the dictionary.

    The accumulation nodes of the leaves run, so that their hooks fire. The reducer of DistributedDataParallel is such a
    hook, and would otherwise wait for ever.

    Args:
        gradients: Gradient by leaf. Emptied, because a gradient without another reference becomes `.grad` without a
            copy.
    """
    if not gradients:
        return
    leaves = list(gradients)
    values = [gradients.pop(leaf) for leaf in leaves]
    with torch.enable_grad():
        output: Any = _Precomputed.apply(values, *leaves)
        output.backward()


class _Precomputed(torch.autograd.Function):
    """A node whose backward pass returns gradients that are already computed."""

    @staticmethod
    def forward(ctx: Any, values: list[Tensor], *leaves: Tensor) -> Tensor:
        ctx.values = values
        return leaves[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        values = tuple(ctx.values)
        ctx.values.clear()
        return None, *values


def not_finite(tasks: Sequence[str], values: Tensor) -> tuple[str, ...]:
    """Return the tasks whose value is NaN or infinite.

    Example:
        >>> not_finite(["a", "b"], torch.tensor([1.0, float("nan")]))
        ('b',)
    """
    return tuple(task for task, finite in zip(tasks, values.isfinite().tolist(), strict=True) if not finite)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every entry of every tensor is finite."""
    tensors = list(tensors)
    # A finite norm proves all entries finite in a fraction of the time. The norm can overflow, so that an infinite one
    # proves nothing.
    if bool(torch.nn.utils.get_total_norm(tensors).isfinite()):
        return True
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


class Partition(NamedTuple):
    """The leaves of a step.

    Attributes:
        features: Tensors at which the step is cut; empty without a cut.
        shared: Leaves that count as shared.
        between: Leaves that several tasks use and that receive the plain sum.
        heads: Each task's own leaves.
        trunk: Leaves that the features were computed from; empty without a cut.
        reached: For each task, the leaves that it reaches without passing a feature.
        disjoint: Whether no two heads share a node, so that each can free its part of the graph at once.
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
    """Assign the leaves of a step to the shared part and to the tasks.

    Args:
        losses: One loss for each task, each with a graph.
        features: Tensors that the heads read, or none.
        shared: Parameters that count as shared. With features they are added to the parameters found from these.
            Without features they replace the parameters found from the losses.
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
        # With the cut, a loss that reaches the trunk by two ways, or through two features, would count twice.
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

"""Reading the autograd graph without running it, and handing finished gradients to its leaves."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge


class Reach(NamedTuple):
    """What lies upstream of some tensors.

    Attributes:
        leaves: The leaves that require a gradient, in the order in which they were met.
        nodes: The autograd nodes passed on the way, leaves' own nodes left out.
        stopped_at: The edges of `stop` that were met.
    """

    leaves: dict[Tensor, None]
    nodes: set[Any]
    stopped_at: set[tuple[Any, int]]


def edge(tensor: Tensor) -> tuple[Any, int]:
    """Where the gradient of a tensor enters the graph: a node and which of its outputs the tensor is."""
    found = get_gradient_edge(tensor)
    return found.node, found.output_nr


def upstream(tensors: Iterable[Tensor], stop: frozenset[tuple[Any, int]] = frozenset()) -> Reach:
    """Walk from tensors towards the leaves they were computed from.

    Args:
        tensors: Tensors that require a gradient. They are themselves walked through even when they are in `stop`.
        stop: Edges (see `edge`) at which the walk turns back.

    Returns:
        Leaves, nodes and met stops.
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
        # Only a leaf's own node has a variable and nothing upstream; a user's function may well have an attribute of
        # that name.
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
def silenced(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Hold back the hooks that `Tensor.register_hook` put on tensors.

    A hook on a parameter should fire once, on the gradient that arrives in `.grad`, not also on each task's gradient on
    the way there: the same hook may clip or scale.
    """
    held = [(hooks, dict(hooks)) for tensor in tensors if (hooks := tensor._backward_hooks)]
    for hooks, _ in held:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, kept in held:
            hooks.update(kept)


def deliver(gradients: dict[Tensor, Tensor]) -> None:
    """Accumulate gradients into `.grad`, as the end of a `backward()` call does, and empty the dictionary.

    The leaves' own accumulation nodes are run, so that whatever listens to them hears it: hooks, and the reducer of
    DistributedDataParallel, which would otherwise wait for gradients that never come.

    Args:
        gradients: By leaf. Emptied, because a gradient that nobody else holds becomes `.grad` without being copied.
    """
    if not gradients:
        return
    leaves = list(gradients)
    values = [gradients.pop(leaf) for leaf in leaves]
    with torch.enable_grad():
        output: Any = _Delivery.apply(values, *leaves)
        output.backward()


class _Delivery(torch.autograd.Function):
    """A node whose backward pass returns gradients that were computed before."""

    @staticmethod
    def forward(ctx: Any, values: list[Tensor], *leaves: Tensor) -> Tensor:
        ctx.values = values
        return leaves[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        values = tuple(ctx.values)
        ctx.values.clear()
        return None, *values

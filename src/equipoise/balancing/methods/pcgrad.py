"""PCGrad: project every gradient onto the normal planes of the gradients it conflicts with, in random order."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import SEED, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import read_gram, to_tensor
from equipoise.balancing.state.random import generator_state, random_orders

__all__ = ["PCGrad", "pcgrad"]


def check_order(order: Sequence[Sequence[int]], tasks: int) -> None:
    """Check that an order gives, for each task, indices of tasks to visit.

    Raises:
        ValueError: If the number of sequences is not the number of tasks, or an index is out of range.
    """
    if len(order) != tasks:
        raise ValueError(
            f"`order` should have one sequence for each of the {tasks} tasks. Found {len(order)} sequences."
        )
    for task, visited in enumerate(order):
        wrong = [other for other in visited if not 0 <= other < tasks]
        if wrong:
            raise ValueError(f"`order[{task}]` should hold indices from 0 to {tasks - 1}. Found {wrong}.")


def pcgrad(gram: Tensor, order: Sequence[Sequence[int]]) -> Tensor:
    r"""Weights of PCGrad (Yu et al., NeurIPS 2020, algorithm 1), sum convention.

    For each task `i` the gradient visits the others: where `<g_i', g_j> < 0`, `g_i' -= <g_i', g_j> / ||g_j||^2
    g_j`, with the current `g_i'` and the original `g_j`. The update is the sum of the results. The paper draws a new
    order for every task. The authors' code discards its shuffle. Several codes visit `j = i` as well, which changes the
    result if the modified gradient conflicts with its own original. For two tasks the update is twice that of UPGrad.
    For more tasks it can conflict. Zero gradients are skipped.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        order: For each task, the other tasks in the order of the visits.

    Returns:
        Weights, shape `[T]`, dtype and device of `gram`. Computed in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix or `order` does not fit it.

    Example:
        >>> import torch
        >>> pcgrad(torch.tensor([[1.0, -1.0], [-1.0, 4.0]]), order=[[1], [0]])
        tensor([2.0000, 1.2500])
    """
    rows = read_gram(gram).rows
    check_order(order, len(rows))
    totals = [1.0] * len(rows)
    for task, visited in enumerate(order):
        products = rows[task]
        for other in visited:
            product = products[other]
            if product < 0 < rows[other][other]:
                share = product / rows[other][other]
                products = [current - share * change for current, change in zip(products, rows[other], strict=True)]
                totals[other] -= share
    return to_tensor(totals).to(gram)


@register
class PCGrad(GramBalancer):
    """The sum of the task gradients, each without its components against the others (Yu et al., algorithm 1).

    Each task visits the others in its own random order, drawn anew in every step. The authors' code discards its
    shuffle. LibMTL and nash-mtl also visit the task itself. The versions of CAGrad and UniversalRepresentations take
    the mean. A zero gradient conflicts with no other.

    Args:
        reduction: "sum" or "mean" of the projected gradients.
        seed: Seed of the method's own random generator. Checkpoints hold its state, and all processes share it.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> _ = equipoise.PCGrad().backward({"a": x[0], "b": 2 * x[1] - x[0]})
        >>> x.grad
        tensor([0.8000, 2.4000])
    """

    info = MethodInfo(
        name="pcgrad",
        title="Projecting conflicting gradients",
        paper='Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1',
        default_place=Place.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="random generator",
    )

    reduction: Literal["sum", "mean"] = hyper(default="sum", source="paper")
    seed: int = hyper(default=0, rule=SEED, source="our choice")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="authors' code")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"generator": generator_state(self.seed)}

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Draw the orders, and compute the projections."""
        orders, state = random_orders(self.state["generator"], len(gram), gram.device)
        self.state = self.state | {"generator": state}
        return pcgrad(gram, orders) / (len(gram) if self.reduction == "mean" else 1)

"""GradVac: turn gradients towards each other until their cosines reach a moving target."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import SEED, hyper, within
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.pcgrad import check_order
from equipoise.balancing.solvers import read_gram, to_tensor
from equipoise.balancing.state.random import generator_state, random_orders

__all__ = ["GradVac", "gradvac"]

# A target this close to 1 or -1 cannot be divided by sqrt(1 - target^2).
_LARGEST_TARGET = 1 - 1e-9
# For gradients shorter than the inverse of this, epsilon shrinks in proportion.
_SHORT = 100.0


@torch.no_grad()
def gradvac(
    gram: Tensor, target: Tensor, order: Sequence[Sequence[int]], beta: float, *, epsilon: float = 1e-8
) -> tuple[Tensor, Tensor]:
    r"""Weights of GradVac (Wang et al., ICLR 2021, algorithm 1), sum convention, and the new targets.

    For each task `i` the gradient visits the others. Let $\phi = \cos(g_i', g_j)$ with the current $g_i'$ and the
    original $g_j$. If $\phi < \rho_{ij}$,

    $$
    g_i' \mathrel{+}= g_j \frac{\lVert g_i' \rVert
    (\rho_{ij} \sqrt{1 - \phi^2} - \phi \sqrt{1 - \rho_{ij}^2})}{\lVert g_j \rVert \sqrt{1 - \rho_{ij}^2}}
    $$

    after which the cosine is $\rho_{ij}$. Then every visited pair updates its target:
    $\rho_{ij} \leftarrow (1 - \beta) \rho_{ij} + \beta \phi$. One public code updates only if the condition holds. The
    first call, with zero targets, is PCGrad. Zero gradients count as orthogonal to all others.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        target: Target cosines `rho`, shape `[T, T]`, not symmetric in general. Zeros at the start.
        order: For each task, the other tasks in the order in which it visits them.
        beta: Rate of the moving average in [0, 1]. The paper has 0.01, public codes 0.5.
        epsilon: Added to both denominators, as in public codes. For short gradients it shrinks in proportion, so that
            it never dominates. 0 gives the formula without it.

    Returns:
        The weights, shape `[T]`, dtype and device of `gram`, and the new targets, like `target`. Computed in
        float64.

    Raises:
        ValueError: If an argument is not as described.

    Example:
        >>> import torch
        >>> weights, target = gradvac(torch.tensor([[1.0, -1.0], [-1.0, 4.0]]), torch.zeros(2, 2), [[1], [0]], beta=0.5)
        >>> weights
        tensor([2.0000, 1.2500])
        >>> target
        tensor([[ 0.0000, -0.2500],
                [-0.2500,  0.0000]])
    """
    rows = read_gram(gram).rows
    check_order(order, len(rows))
    if target.shape != gram.shape or not (target.abs() <= 1).all().item():
        raise ValueError(
            f"`target` should hold cosines, of shape {list(gram.shape)}. Found `target = {target.tolist()}`."
        )
    if not 0 <= beta <= 1:
        raise ValueError(f"`beta` should be in [0, 1]. Found `beta = {beta}`.")
    goals = target.double().tolist()
    totals = [0.0] * len(rows)
    for task, visited in enumerate(order):
        products, shares = rows[task], [0.0] * len(rows)
        shares[task] = 1.0
        own_length = math.sqrt(rows[task][task])
        for other in visited:
            row = rows[other]
            length = math.sqrt(max(sum(map(float.__mul__, shares, products)), 0.0))
            other_length = math.sqrt(row[other])
            cosine = 0.0
            if length > 0 and other_length > 0:
                margin = epsilon * min(1.0, _SHORT * own_length * other_length)
                cosine = min(max(products[other] / (length * other_length + margin), -1.0), 1.0)
                goal = min(max(goals[task][other], -_LARGEST_TARGET), _LARGEST_TARGET)
                if cosine < goal:
                    sine, goal_sine = math.sqrt(1 - cosine**2), math.sqrt(1 - goal**2)
                    share = (
                        length
                        * (goal * sine - cosine * goal_sine)
                        / (other_length * goal_sine + epsilon * min(1.0, _SHORT * other_length))
                    )
                    products = [current + share * change for current, change in zip(products, row, strict=True)]
                    shares[other] += share
            goals[task][other] = (1 - beta) * goals[task][other] + beta * cosine
        totals = [total + share for total, share in zip(totals, shares, strict=True)]
    return to_tensor(totals).to(gram), torch.tensor(goals, dtype=torch.float64).to(target)


@register
class GradVac(GramBalancer):
    """The sum of the task gradients, each turned towards those to which its cosine is below its target for that pair.

    Targets start at 0, where the method is PCGrad, and follow the measured cosines of every visited pair. SamsungLabs
    updates them only for pairs that it corrects. Each task visits the others in its own random order. There is one
    target for the whole vector of parameters. LibMTL can also keep one for each layer. Pairs with a zero gradient keep
    their target.

    Args:
        beta: Rate of the moving average.
        seed: Seed of the method's own random generator. Checkpoints hold its state, and all processes share it.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    info = MethodInfo(
        name="gradvac",
        title="Gradient vaccine",
        paper='Wang et al., "Gradient Vaccine", ICLR 2021, algorithm 1',
        default_place=Place.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="target cosine of each ordered pair of tasks; random generator",
    )

    beta: float = hyper(default=0.01, rule=within(0, 1), source="paper (public codes: 0.5)")
    seed: int = hyper(default=0, rule=SEED, source="our choice")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="LibMTL")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"generator": generator_state(self.seed), "targets": {}}

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Draw the orders, compute the weights and update the targets."""
        tasks, held = inputs.tasks, self.state["targets"]
        orders, state = random_orders(self.state["generator"], len(gram), gram.device)
        targets = [[held.get(task, {}).get(other, 0.0) for other in tasks] for task in tasks]
        weights, moved = gradvac(gram, torch.tensor(targets, dtype=torch.float64), orders, self.beta)
        present = {task for task, norm in zip(tasks, gram.diagonal().tolist(), strict=True) if norm > 0}
        new = {
            task: held.get(task, {})
            | {other: target for other, target in zip(tasks, row, strict=True) if other in present - {task}}
            for task, row in zip(tasks, moved.tolist(), strict=True)
            if task in present
        }
        self.state = self.state | {"generator": state, "targets": held | new}
        return weights

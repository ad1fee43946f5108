"""Nash-MTL: the Nash bargaining solution between the tasks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import BargainingBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.hyper_parameters import POSITIVE, at_least, hyper, or_none
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.fairgrad import fairgrad

__all__ = ["NashMTL", "nash_mtl"]


def nash_mtl(gram: Tensor) -> Tensor:
    r"""Weights of Nash-MTL (Navon et al., ICML 2022), without the clipping of the update.

    $$
    w_i\,(G w)_i = 1,\quad w > 0
    $$

    The solution is unique and gives a direction of norm $\sqrt T$ with `<g_i, d> = 1 / w_i > 0`. It exists unless some
    convex combination of the gradients vanishes. That is the case for a zero gradient, opposite gradients and a
    Pareto-stationary point. Author codes then return the previous or the initial weights, and do so at several regular
    points, too. This function raises `SolverError`. If all gradients are zero, so are the weights.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.

    Returns:
        Weights, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix.
        SolverError: If no solution exists to the precision of `gram`, or the relative residual stays above 1e-8. The
            limit is 1e-6 for almost opposite gradients, where 16 digits allow no more.

    Example:
        >>> import torch
        >>> nash_mtl(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """
    return fairgrad(gram, alpha=1.0)


@register
class NashMTL(BargainingBalancer):
    """Weights with w_i <g_i, sum_j w_j g_j> = 1. The update improves every task, with the norm sqrt(T) unless clipped.

    The solution is exact. The authors' code (and its ports) solves a sequence of convex programs, and returns the
    initial or the previous weights if that fails. It divides the Gram matrix by its norm, so that the weights of its
    heads are larger by the square root of that norm.

    A task with a zero gradient is left out. If no solution exists, the step takes the convex combination of least norm,
    which is almost no update, and is counted in `state["unsolved"]`.

    Args:
        max_norm: Largest norm of the update of the shared parameters. None for sqrt(T). As in the authors' code the
            heads' weights are not clipped. TorchJD clips them, too.
        every: Steps between two solutions. In between, the last weights apply as they were clipped then, and a step
            costs no more than a plain one. The authors clip the update anew in every step.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient. LibMTL and the authors weight
            the losses. SamsungLabs and TorchJD do not.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.NashMTL(max_norm=None).backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.5000), 'b': tensor(1.)}
    """

    info = MethodInfo(
        name="nash_mtl",
        title="Nash-MTL",
        paper='Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022',
        default_place=Place.SHARED,
        scale="absolute: the update has the norm max_norm, at most sqrt(T)",
        state="weights between solutions, step counter, count of unsolved steps",
    )

    max_norm: float | None = hyper(default=1.0, rule=or_none(POSITIVE), source="authors' code")
    every: int = hyper(default=1, rule=at_least(1), source="authors' code; the paper also has 10 and 25 for speed")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=True, source="authors' code")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"step": 0, "shared": {}, "heads": {}}

    def place(self, tasks: Sequence[str]) -> Place:
        """Return the chosen place if a solution is due or a task is new, else the losses."""
        due = self.state["step"] % self.every == 0 or any(task not in self.state["shared"] for task in tasks)
        return super().place(tasks) if due else Place.LOSSES

    def decide(self, inputs: StepInputs) -> Update:
        """Compute a new solution, or take the last one."""
        if inputs.gram is None:
            shared, heads = (
                torch.stack([self.state[part][task] for task in inputs.tasks]) for part in ("shared", "heads")
            )
            update = Update(shared, head_weights=heads)
        else:
            update = super().decide(inputs)
            if self.every > 1 and update.weights is not None and update.head_weights is not None:
                # A zero gradient says nothing about later steps.
                solved = inputs.gram.diagonal() > 0
                for part, weights in (("shared", update.weights), ("heads", update.head_weights)):
                    entries = zip(inputs.tasks, weights, solved.tolist(), strict=True)
                    new = {task: weight.clone() for task, weight, useful in entries if useful}
                    self.state = self.state | {part: self.state[part] | new}
        self.state = self.state | {"step": self.state["step"] + 1}
        return update

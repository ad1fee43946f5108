"""Nash-MTL: the Nash bargaining solution between the tasks."""

from collections.abc import Sequence
from typing import Unpack

import torch

from equipoise.balancing.balancer import Common
from equipoise.balancing.bargaining_balancer import BargainingBalancer
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.decision import Decision
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class NashMTL(BargainingBalancer):
    """Weights with w_i <g_i, sum_j w_j g_j> = 1: the update improves every task, with the norm sqrt(T) unless clipped.

    The solution is exact. The authors' code (and its ports) solves a sequence of convex programs and returns the
    initial or the previous weights where that fails. It divides the Gram matrix by its norm, so that its heads receive
    weights that are larger by the root of that.

    A task with a zero gradient is left out. Where no solution exists the step takes the convex combination of least
    norm, which is next to no update, and is counted in `memory["unsolved"]`.

    Args:
        max_norm: Largest norm of the update of the shared parameters; none for sqrt(T). As in the authors' code the
            heads' weights are not clipped; TorchJD clips them, too.
        every: Steps between two solutions. In between the last weights are used, clipped as they were then, and a step
            costs what a plain one costs. The authors clip the update anew in every step.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient. LibMTL and the authors weight
            the loss, SamsungLabs and TorchJD do not.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.NashMTL(max_norm=None).backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.5000), 'b': tensor(1.)}
    """

    record = Method(
        name="nash_mtl",
        title="Nash-MTL",
        paper='Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022',
        sees=Source.SHARED,
        scale="absolute: the update has the norm max_norm, at most sqrt(T)",
        state="weights between solutions, step counter, count of unsolved steps",
        sources={
            "max_norm": "authors' code",
            "every": "authors' code; the paper also has 10 and 25 for speed",
            "measure_at": "paper",
            "scale_heads": "authors' code",
        },
    )

    def __init__(
        self,
        *,
        max_norm: float | None = 1.0,
        every: int = 1,
        measure_at: Place = "shared",
        scale_heads: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(max_norm=max_norm, measure_at=measure_at, scale_heads=scale_heads, **common)
        require(every >= 1, "every", every, "be at least 1")
        self.every = every
        self.memory = {"step": 0, "shared": {}, "heads": {}}

    def source(self, tasks: Sequence[str]) -> Source:
        """The chosen place when a solution is due or a task has no weight yet, else the losses alone."""
        due = self.memory["step"] % self.every == 0 or any(task not in self.memory["shared"] for task in tasks)
        return super().source(tasks) if due else Source.LOSSES

    def decide(self, evidence: Evidence) -> Decision:
        """A new solution, or the last one."""
        if evidence.gram is None:
            shared, heads = (
                torch.stack([self.memory[part][task] for task in evidence.tasks]) for part in ("shared", "heads")
            )
            decision = Decision(shared, head_weights=heads)
        else:
            decision = super().decide(evidence)
            if self.every > 1 and decision.weights is not None and decision.head_weights is not None:
                # A zero gradient says nothing about the steps to come.
                solved = evidence.gram.diagonal() > 0
                for part, weights in (("shared", decision.weights), ("heads", decision.head_weights)):
                    entries = zip(evidence.tasks, weights, solved.tolist(), strict=True)
                    new = {task: weight.clone() for task, weight, useful in entries if useful}
                    self.memory = self.memory | {part: self.memory[part] | new}
        self.memory = self.memory | {"step": self.memory["step"] + 1}
        return decision

"""CDTT: EDM's direction, pulled towards the tasks whose gradients stay large."""

from typing import Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import CDTTState, cdtt
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source
from equipoise.balancing.taskwise import gathered, updated


class CDTT(GramBalancer):
    """Central direction (EDM) for ten steps, then with a tension towards each task (Nakamura, Grassi and Wolf).

    The tension of a task grows with the ratio of its gradient norms over the last ten steps to those of a step before
    and with the logarithm of its loss; its length is at most 1 whatever the gradients' length, so that the method
    depends on their scale. Tasks have their own history: the tension starts when all tasks in the batch have been
    there for ten steps. Then, in the order of the losses, a conflict with a task is removed, which can make another.

    A step with a zero gradient leaves the shared parameters alone and is not counted, as in P2's code (if all are zero,
    all weights are 1 / T). Losses should be positive; others count as the smallest positive number.

    Args:
        sensitivity: How much the tension varies, in [0, 1]. The authors' toy has 0.3; P2 searches 0.2 to 1.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    record = Method(
        name="cdtt",
        title="Central direction with task tensioner",
        paper='Nakamura et al., "Leveraging convergence behavior to balance conflicting tasks", Neurocomputing 2022',
        sees=Source.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="gradient norms of ten steps and their sums, steps, count of unsolved steps",
        sources={"sensitivity": "P2's code", "measure_at": "P2's code", "scale_heads": "P2's code"},
    )
    mean_type = True

    def __init__(
        self,
        *,
        sensitivity: float = 0.2,
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(0 <= sensitivity <= 1, "sensitivity", sensitivity, "be in [0, 1]")
        self.sensitivity = sensitivity
        self.memory = {"norms": {}, "totals": {}, "steps": {}}

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The weights by the histories of the tasks present, which then grow by a step."""
        tasks, memory = evidence.tasks, self.memory
        start = CDTTState.start(1)
        steps = min(memory["steps"].get(task, 0) for task in tasks)
        state = CDTTState(
            gathered(memory["norms"], tasks, start.norms[:, 0]).T,
            torch.tensor(float(steps), dtype=torch.float64),
            gathered(memory["totals"], tasks, start.total[0]),
        )
        weights, new = cdtt(gram, evidence.losses, state, self.sensitivity)
        if new is not state:
            self.memory = memory | {
                "norms": updated(memory["norms"], tasks, new.norms.T),
                "totals": updated(memory["totals"], tasks, new.total),
                "steps": memory["steps"] | {task: memory["steps"].get(task, 0) + 1 for task in tasks},
            }
        return weights

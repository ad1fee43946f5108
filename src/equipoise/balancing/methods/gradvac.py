"""GradVac: gradients turned towards each other until their cosines reach a moving target."""

from typing import Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.draws import first_state, random_orders
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import gradvac
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class GradVac(GramBalancer):
    """The sum of the task gradients, each turned towards those to which its cosine is below its target for that pair.

    Targets begin at 0, where the method is PCGrad, and follow the cosines met, for every visited pair; SamsungLabs
    updates them only where it corrects. Each task visits the others in a random order of its own. One target for the
    whole vector of parameters; LibMTL can also keep one for each layer. Pairs with a zero gradient keep their target.

    Args:
        beta: Rate of the moving average.
        seed: Of the method's own generator, which a checkpoint holds and all processes share.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    record = Method(
        name="gradvac",
        title="Gradient vaccine",
        paper='Wang et al., "Gradient Vaccine", ICLR 2021, algorithm 1',
        sees=Source.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="target cosine of each ordered pair of tasks; random generator",
        sources={
            "beta": "paper (public codes: 0.5)",
            "seed": "our choice",
            "measure_at": "paper",
            "scale_heads": "LibMTL",
        },
    )

    def __init__(
        self,
        *,
        beta: float = 0.01,
        seed: int = 0,
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(0 <= beta <= 1, "beta", beta, "be in [0, 1]")
        self.beta = beta
        self.memory = {"generator": first_state(seed), "targets": {}}

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The corrections, in orders that are drawn first; then the new targets."""
        tasks, held = evidence.tasks, self.memory["targets"]
        orders, state = random_orders(self.memory["generator"], len(gram), gram.device)
        targets = [[held.get(task, {}).get(other, 0.0) for other in tasks] for task in tasks]
        weights, moved = gradvac(gram, torch.tensor(targets, dtype=torch.float64), orders, self.beta)
        present = {task for task, norm in zip(tasks, gram.diagonal().tolist(), strict=True) if norm > 0}
        new = {
            task: held.get(task, {})
            | {other: target for other, target in zip(tasks, row, strict=True) if other in present - {task}}
            for task, row in zip(tasks, moved.tolist(), strict=True)
            if task in present
        }
        self.memory = self.memory | {"generator": state, "targets": held | new}
        return weights

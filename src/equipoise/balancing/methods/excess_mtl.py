"""ExcessMTL: more weight to the tasks that are furthest from their optimum."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import GradientBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import ExcessMTLState, excess_mtl
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source
from equipoise.balancing.taskwise import gathered, updated
from equipoise.balancing.tracked import tracked


class ExcessMTL(GradientBalancer):
    """Weights w_i multiplied by exp(rate E_i / E_i(first)) in every step, E_i the excess risk seen in the gradients.

    E_i = sum_k g_ik^2 / sqrt(sum over all steps of g_ik^2), the gradient's length in the metric of AdaGrad. The first
    step has weights of 1 and sets the baseline, in the authors' form; the paper's weights sum to 1, TorchJD updates
    them in the first step already. A batch without some task leaves that task's weight as it is.

    The first baseline of a task is from the first step in which it has a gradient. Until then its weight is 1; the
    authors' code divides by zero, and other codes give such a task all the weight. Sums of squares are kept for every
    task and all measured parameters, T times their memory.

    Args:
        rate: Of the weights, zero or more. The authors' published command has 1.
        measure_at: At all shared parameters or at the last shared layer. Features are other ones in every batch.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Raises:
        ValueError: On `backward`, the measured parameters are not those of the steps before.
    """

    record = Method(
        name="excess_mtl",
        title="ExcessMTL",
        paper='He et al., "Robust Multi-Task Learning with Excess Risks", ICML 2024',
        sees=Source.SHARED,
        scale="sum: the weights sum to T",
        state="sums of squared gradients (T x P), baselines, logarithms of the weights",
        sources={
            "rate": "authors' configuration and LibMTL",
            "measure_at": "authors' code",
            "scale_heads": "authors' code: the loss is weighted",
        },
    )

    def __init__(
        self,
        *,
        rate: float = 0.01,
        measure_at: Literal["last_layer", "shared"] = "shared",
        scale_heads: bool = True,
        **common: Unpack[Common],
    ) -> None:
        require(measure_at in ("last_layer", "shared"), "measure_at", measure_at, "be one of last_layer, shared")
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(rate >= 0, "rate", rate, "be zero or more")
        self.rate = rate
        self.memory = {"squares": {}, "baselines": {}, "logits": {}}

    def weigh(self, evidence: Evidence) -> Tensor:
        """The weights, after the update by this step's gradients."""
        assert evidence.gram is not None
        memory, everything = self.memory, evidence.rows
        moving = evidence.gram.diagonal() > 0
        moving |= moving.new_tensor([task in memory["baselines"] for task in evidence.tasks])
        weights = torch.ones_like(everything[:, 0])
        tasks = [task for task, moves in zip(evidence.tasks, moving.tolist(), strict=True) if moves]
        if not tasks:
            return weights
        rows = everything if len(tasks) == len(everything) else everything[moving]
        state = self._state(tasks, rows)
        weights[moving], new = excess_mtl(rows, state, self.rate)
        # The tasks present keep their share among all tasks.
        logits = new.logits + state.logits.logsumexp(0)
        self.memory = {
            "squares": memory["squares"] | dict(zip(tasks, new.squares, strict=True)),
            "baselines": updated(memory["baselines"], tasks, new.baseline),
            "logits": updated(memory["logits"], tasks, logits),
        }
        return weights

    def _state(self, tasks: list[str], rows: Tensor) -> ExcessMTLState:
        fresh, memory = ExcessMTLState.start(rows), self.memory
        baseline = gathered(memory["baselines"], tasks, fresh.baseline[0])
        late = baseline.new_tensor([task not in memory["baselines"] for task in tasks], dtype=torch.bool)
        if memory["baselines"] and late.any():
            # The baseline of a task that joins is what it would have been if it had started alone.
            baseline[late] = excess_mtl(rows[late], ExcessMTLState.start(rows[late]), 0.0)[1].baseline
        return ExcessMTLState(
            tuple(tracked(memory["squares"], tasks, fresh.squares)),
            baseline,
            gathered(memory["logits"], tasks, fresh.logits[0]),
        )

"""DB-MTL: gradients of logarithms of losses, smoothed, all as long as the longest."""

from typing import Unpack

from equipoise.balancing.balancer import Balancer, Common
from equipoise.balancing.checks import require
from equipoise.balancing.decision import Decision
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import DBMTLState, db_mtl
from equipoise.balancing.positive import positive_losses
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source
from equipoise.balancing.taskwise import updated
from equipoise.balancing.tracked import tracked_rows

_MARGIN = 1e-8


class DBMTL(Balancer):
    """The sum of running averages of the gradients of log L_i, each stretched to the length of the longest.

    The averages begin at zero without bias correction, as in LibMTL, which is by the same authors: with the default
    beta the first update is a tenth of its usual length. They are kept for every task and all shared parameters, T
    times their memory; no weights of the step's own gradients exist to be reported. The tasks' own parameters receive
    the gradient of log L_i. A task whose gradient is zero adds what its average still holds.

    Args:
        beta: Share of the old average; divided by step^beta_decay.
        beta_decay: Exponent, zero or more. The paper tunes beta and has 0.5 here.

    Raises:
        ValueError: On `backward`, a loss is negative, or the shared parameters are not those of the steps before.
    """

    record = Method(
        name="db_mtl",
        title="Dual-balancing",
        paper='Lin et al., "Dual-Balancing for Multi-Task Learning", 2023',
        sees=Source.SHARED,
        scale="absolute: every task has the length of the longest log-loss gradient",
        heads="the gradient of the logarithm of the loss",
        state="running averages of gradients (T x P), step counter",
        sources={"beta": "LibMTL, by the authors", "beta_decay": "LibMTL, by the authors"},
        weighs=False,
    )

    def __init__(self, *, beta: float = 0.9, beta_decay: float = 0.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(0 <= beta < 1, "beta", beta, "be in [0, 1)")
        require(beta_decay >= 0, "beta_decay", beta_decay, "be zero or more")
        self.beta, self.beta_decay = beta, beta_decay
        self.memory = {"averages": {}, "step": 0}

    def decide(self, evidence: Evidence) -> Decision:
        """The direction of the averages."""
        positive_losses(evidence, "db_mtl")
        tasks, rows, memory = evidence.tasks, evidence.rows, self.memory
        fresh = DBMTLState.start(rows)
        state = DBMTLState(tracked_rows(memory["averages"], tasks, fresh.buffer), fresh.steps + memory["step"])
        direction, new = db_mtl(rows, evidence.losses, state, beta=self.beta, beta_decay=self.beta_decay)
        self.memory = {"averages": updated(memory["averages"], tasks, new.buffer), "step": memory["step"] + 1}
        return Decision(direction=direction, head_weights=1 / (evidence.losses + _MARGIN))

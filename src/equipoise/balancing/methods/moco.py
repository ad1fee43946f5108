"""MoCo: projected steps on the weights with tracked gradients."""

from typing import Unpack

import torch

from equipoise.balancing.balancer import Balancer, Common
from equipoise.balancing.checks import require
from equipoise.balancing.decision import Decision
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import MoCoState, moco
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source
from equipoise.balancing.taskwise import gathered, updated
from equipoise.balancing.tracked import tracked_rows


class MoCo(Balancer):
    """The update Y^T w with running averages Y of the task gradients and simplex weights w that follow its least norm.

    In a batch without some task the others share its weight for the step. Tracked gradients are kept for every task and
    all shared parameters, T times their memory. The update is made of them, so that it is no weighted sum of the step's
    own gradients and no weights are reported. The tasks' own parameters receive their plain gradient.

    The authors' code has the factor 2 of the derivative in the step of the weights: its gamma of 0.1 is 0.2 here.
    LibMTL scales every gradient to the norm of its loss and replaces the projection by a softmax: another method. Gamma
    depends on the gradients' scale.

    Args:
        beta: Rate of the tracking; divided by step^beta_decay. With 1 and no decay nothing is averaged.
        beta_decay: Exponent, zero or more.
        gamma: Rate of the weights; divided by step^gamma_decay.
        gamma_decay: Exponent, zero or more.
        regularization: Pull of the weights towards equality.

    Raises:
        ValueError: On `backward`, the shared parameters are not those of the steps before.
    """

    record = Method(
        name="moco",
        title="MoCo",
        paper='Fernando et al., "Mitigating Gradient Bias in Multi-objective Learning", ICLR 2023',
        sees=Source.SHARED,
        scale="mean: the weights sum to 1; the first steps are short, as the averages begin at zero",
        heads="plain",
        state="tracked gradients (T x P), weights, step counter",
        sources={
            "beta": "authors' code",
            "beta_decay": "authors' code",
            "gamma": "authors' code: 0.1, with the factor 2",
            "gamma_decay": "authors' code",
            "regularization": "authors' code",
        },
        weighs=False,
    )

    def __init__(
        self,
        *,
        beta: float = 0.1,
        beta_decay: float = 0.5,
        gamma: float = 0.2,
        gamma_decay: float = 0.5,
        regularization: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        require(0 < beta <= 1, "beta", beta, "be in (0, 1]")
        require(gamma >= 0, "gamma", gamma, "be zero or more")
        require(beta_decay >= 0, "beta_decay", beta_decay, "be zero or more")
        require(gamma_decay >= 0, "gamma_decay", gamma_decay, "be zero or more")
        require(regularization >= 0, "regularization", regularization, "be zero or more")
        self.beta, self.beta_decay, self.regularization = beta, beta_decay, regularization
        self.gamma, self.gamma_decay = gamma, gamma_decay
        self.memory = {"tracked": {}, "weights": {}, "step": 0}

    def decide(self, evidence: Evidence) -> Decision:
        """The direction of the tracked gradients."""
        tasks, rows, memory = evidence.tasks, evidence.rows, self.memory
        fresh = MoCoState.start(rows)
        held = gathered(memory["weights"], tasks, fresh.weights[0])
        total = held.sum()
        shares = torch.where(total > 0, held / total, fresh.weights)
        state = MoCoState(tracked_rows(memory["tracked"], tasks, fresh.tracked), shares, fresh.steps + memory["step"])
        direction, new = moco(
            rows,
            state,
            beta=self.beta,
            beta_decay=self.beta_decay,
            gamma=self.gamma,
            gamma_decay=self.gamma_decay,
            regularization=self.regularization,
        )
        self.memory = {
            "tracked": updated(memory["tracked"], tasks, new.tracked),
            "weights": updated(memory["weights"], tasks, new.weights * torch.where(total > 0, total, 1.0)),
            "step": memory["step"] + 1,
        }
        return Decision(direction=direction)
